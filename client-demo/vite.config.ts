import { defineConfig } from 'vite';

const file = (path: string): string => new URL(path, import.meta.url).pathname;

// `npx vite client-demo` serves the page alone, with hot reload. It talks to the server named by
// VITE_INDELIBLE_URL, e.g. VITE_INDELIBLE_URL=http://localhost:1234, else to whoever serves the page.
export default defineConfig({
  base: './',
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 800,
    rolldownOptions: {
      input: { page: file('index.html'), 'service-worker': file('src/service-worker.ts') },
      output: {
        // A service worker serves what lies beside it, and is found again under the same name.
        entryFileNames: ({ name }) => (name === 'service-worker' ? '[name].js' : 'assets/[name]-[hash].js'),
      },
    },
  },
});
