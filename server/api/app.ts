import { Hono } from 'hono';
import { cors } from 'hono/cors';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { accessRoutes } from './access.ts';
import { type DevTokenKey, devTokenRoutes } from './dev-tokens.ts';
import { healthRoutes, type HealthSource } from './health.ts';
import { metricsRoutes } from './metrics.ts';
import { pageRoutes } from './page.ts';
import type { Access } from '../auth/access.ts';
import type { AllowsOrigin } from '../auth/origins.ts';
import { IndelibleError, toIndelibleError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';

/** How long a browser may remember that it may ask, in seconds. */
const CORS_SERVES_SECONDS = 600;

/**
 * The HTTP side: access, health, metrics, and the page at `/`.
 * @param options.devTokens - the key of tokens that are given to anybody; `null` unless that is meant
 */
export function createApp(options: {
  health: HealthSource;
  metrics: Metrics;
  access: Access;
  devTokens: DevTokenKey | null;
  allowsOrigin: AllowsOrigin;
  log: Log;
}): Hono {
  const { health, metrics, access, devTokens, allowsOrigin, log } = options;
  return new Hono()
    .use(async (context, next) => {
      const { origin, host } = context.req.header();
      if (!allowsOrigin(origin, host)) throw new IndelibleError('forbidden_origin');
      await next();
    })
    .use(
      '/api/*',
      cors({
        origin: (origin) => origin,
        allowHeaders: ['Authorization', 'Content-Type', 'If-None-Match'],
        exposeHeaders: ['ETag'],
        maxAge: CORS_SERVES_SECONDS,
      }),
    )
    .route('/', accessRoutes(access))
    .route('/', devTokens === null ? new Hono() : devTokenRoutes(devTokens))
    .route('/', healthRoutes(health))
    .route('/', metricsRoutes(metrics))
    .route('/', pageRoutes())
    .notFound((context) => {
      const { code, message } = new IndelibleError('bad_path');
      return context.json({ code, message }, 404);
    })
    .onError((thrown, context) => {
      const error = toIndelibleError(thrown);
      if (error !== thrown) log.error({ err: thrown }, 'a request failed');
      metrics.refused.inc({ code: error.code });
      return context.json({ code: error.code, message: error.message }, error.status as ContentfulStatusCode);
    });
}
