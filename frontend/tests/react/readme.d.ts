declare module "readme:example.tsx" {
  export function App(): React.ReactNode;
}
