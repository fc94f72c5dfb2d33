import { OpenAPIHono } from '@hono/zod-openapi';
import type { Hono } from 'hono';
import { cors } from 'hono/cors';
import type { AllowsOrigin } from '../auth/origins.ts';
import type { ProgramDocuments } from '../documents/program-documents.ts';
import { IndelibleError } from '../errors.ts';
import { accessRoutes, type AccessRoutesOptions } from './access.ts';
import type { CallerEnv } from './caller.ts';
import { refuseOtherMethods } from './described.ts';
import { changeRoutes, type ChangeRoutesOptions } from './changes.ts';
import { type DevTokenKey, devTokenRoutes } from './dev-tokens.ts';
import { healthRoutes, type HealthSource } from './health.ts';
import { metricsRoutes } from './metrics.ts';
import { openapiRoutes } from './openapi.ts';
import { pageRoutes } from './page.ts';
import { problemOf } from './problem.ts';
import { POSITIONS_HEADER, readRoutes } from './reads.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';

/** How long a browser may remember that it may ask, in seconds. */
const CORS_SERVES_SECONDS = 600;

export interface AppOptions extends AccessRoutesOptions, ChangeRoutesOptions {
  readonly documents: ProgramDocuments;
  readonly health: HealthSource;
  /** The key of tokens that are given to anybody; `null` unless that is meant. */
  readonly devTokens: DevTokenKey | null;
  readonly metrics: Metrics;
  readonly allowsOrigin: AllowsOrigin;
  readonly log: Log;
}

/** The HTTP side: documents and access, health, metrics, and the page at `/`. */
export function createApp(options: AppOptions): Pick<Hono, 'fetch'> {
  const { documents, callers, health, metrics, devTokens, allowsOrigin } = options;
  const app = new OpenAPIHono<CallerEnv>();
  app.use(async (context, next) => {
    const { origin, host } = context.req.header();
    if (!allowsOrigin(origin, host)) throw new IndelibleError('forbidden_origin');
    await next();
  });
  app.use(
    '/api/*',
    cors({
      origin: (origin) => origin,
      allowHeaders: ['Authorization', 'Content-Type', 'Idempotency-Key', 'If-Match', 'If-None-Match'],
      exposeHeaders: ['ETag', 'Idempotent-Replayed', 'Location', POSITIONS_HEADER, 'Retry-After'],
      maxAge: CORS_SERVES_SECONDS,
    }),
  );
  readRoutes(app, documents, callers);
  changeRoutes(app, options);
  accessRoutes(app, options);
  refuseOtherMethods(app);
  openapiRoutes(app);
  if (devTokens !== null) app.route('/', devTokenRoutes(devTokens));
  app.route('/', healthRoutes(health));
  app.route('/', metricsRoutes(metrics));
  app.route('/', pageRoutes());
  app.notFound((context) => problemOf(new IndelibleError('bad_path'), context, options));
  app.onError((thrown, context) => problemOf(thrown, context, options));
  return app;
}
