import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { serveStatic } from '@hono/node-server/serve-static';
import { Hono } from 'hono';

/**
 * Everything from here, nothing from anywhere else, nothing inline: the editor's style sheets are constructed ones, and
 * the page sets colours of cursors through the CSSOM, both of which this allows. The one policy of Trusted Types lets the page
 * name the script of its service worker.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types service-worker',
].join('; ');

const NOT_BUILT = 'The page is not built: run `npm run build:page` (`npm start` does).\n';

/** The demo page at `/`. */
export function pageRoutes(): Hono {
  const root = pageDirectory();
  const app = new Hono();
  app.use('/*', async (context, next) => {
    await next();
    context.header('Content-Security-Policy', CONTENT_SECURITY_POLICY);
    // The parts of a page have another name with each change of them; the page itself is asked for, or it would name parts that are gone.
    const isPart = context.req.path.startsWith('/assets/');
    context.header('Cache-Control', isPart ? 'public, max-age=31536000, immutable' : 'no-cache');
    context.header('X-Content-Type-Options', 'nosniff');
    context.header('Referrer-Policy', 'no-referrer');
  });
  if (root === null) return app.get('/', (context) => context.text(NOT_BUILT, 404));
  return app.get('/*', serveStatic({ root }));
}

/** Where Vite puts the page, seen from `server/` in the repository and from `dist/server/` in the npm package. */
function pageDirectory(): string | null {
  const candidates = ['../../client-demo/dist', '../../../client-demo/dist'];
  const found = candidates
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(`${path}/index.html`));
  return found ?? null;
}
