import { dirname, relative, resolve, sep } from "node:path";

/**
 * Who may import whom: a file of one room may import from the rooms named with it, and from packages named there.
 * Options: [{ root, rooms: { wire: { from: [], packages: [] }, … } }]; a room is a folder of the root.
 */
export const noRestrictedPaths = {
  meta: {
    type: "problem",
    schema: [{ type: "object" }],
    messages: {
      room: "{{room}} must not import from {{other}}: the direction is {{direction}}.",
      package: "{{room}} must not import the package {{name}}.",
    },
  },
  create(context) {
    const { root, rooms } = context.options[0];
    const roomOf = (file) => relative(root, file).split(sep)[0];
    const room = roomOf(context.filename);
    const allowed = rooms[room];
    if (!allowed) return {};

    const look = (source) => {
      if (typeof source?.value !== "string") return;
      const name = source.value;
      if (name.startsWith(".")) {
        const other = roomOf(resolve(dirname(context.filename), name));
        if (other === room || allowed.from.includes(other)) return;
        context.report({
          node: source,
          messageId: "room",
          data: { room, other, direction: Object.keys(rooms).join(" → ") },
        });
      } else if (allowed.packages && !allowed.packages.some((one) => name === one || name.startsWith(`${one}/`))) {
        context.report({ node: source, messageId: "package", data: { room, name } });
      }
    };
    return {
      ImportDeclaration: (node) => look(node.source),
      ExportNamedDeclaration: (node) => look(node.source),
      ExportAllDeclaration: (node) => look(node.source),
      ImportExpression: (node) => look(node.source),
      TSImportType: (node) => look(node.source),
    };
  },
};
