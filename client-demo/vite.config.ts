import { defineConfig } from 'vite';

// `npx vite client-demo` serves the page alone, with hot reload. It talks to the server named by
// VITE_INDELIBLE_URL, e.g. VITE_INDELIBLE_URL=http://localhost:1234, else to whoever serves the page.
export default defineConfig({
  base: './',
  build: { target: 'es2022', modulePreload: { polyfill: false }, chunkSizeWarningLimit: 700 },
});
