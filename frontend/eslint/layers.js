import { dirname, relative, resolve, sep } from "node:path";

/**
 * Restricts imports between layers: a file may import from the layers and packages that its layer lists.
 * Options: [{ root, layers: { wire: { from: [], packages: [] }, … } }]; a layer is a folder of the root.
 */
export const noRestrictedPaths = {
  meta: {
    type: "problem",
    schema: [{ type: "object" }],
    messages: {
      layer: "{{layer}} must not import from {{other}}: the direction is {{direction}}.",
      package: "{{layer}} must not import the package {{name}}.",
    },
  },
  create(context) {
    const { root, layers } = context.options[0];
    const layerOf = (file) => relative(root, file).split(sep)[0];
    const layer = layerOf(context.filename);
    const allowed = layers[layer];
    if (!allowed) return {};

    const look = (source) => {
      if (typeof source?.value !== "string") return;
      const name = source.value;
      if (name.startsWith(".")) {
        const other = layerOf(resolve(dirname(context.filename), name));
        if (other === layer || allowed.from.includes(other)) return;
        context.report({
          node: source,
          messageId: "layer",
          data: { layer, other, direction: Object.keys(layers).join(" → ") },
        });
      } else if (allowed.packages && !allowed.packages.some((one) => name === one || name.startsWith(`${one}/`))) {
        context.report({ node: source, messageId: "package", data: { layer, name } });
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
