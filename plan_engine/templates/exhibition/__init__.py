"""From a theme to a proposal for an exhibition, in three stages: the theme refined, artists found, artworks chosen."""

from plan_engine.templates.exhibition.stages import STAGES, Brief, exhibition

__all__ = ["STAGES", "Brief", "exhibition"]
