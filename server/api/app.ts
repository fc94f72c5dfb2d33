import { Hono } from 'hono';
import { healthRoutes, type HealthSource } from './health.ts';
import { metricsRoutes } from './metrics.ts';
import { pageRoutes } from './page.ts';
import type { AllowsOrigin } from '../auth/origins.ts';
import { IndelibleError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';

/** The HTTP side: health, metrics, and the page at `/`. */
export function createApp(options: {
  health: HealthSource;
  metrics: Metrics;
  allowsOrigin: AllowsOrigin;
}): Hono {
  return new Hono()
    .use(async (context, next) => {
      const { origin, host } = context.req.header();
      if (options.allowsOrigin(origin, host)) return next();
      const { code, message, status } = new IndelibleError('forbidden_origin');
      return context.json({ code, message }, status as 403);
    })
    .route('/', healthRoutes(options.health))
    .route('/', metricsRoutes(options.metrics))
    .route('/', pageRoutes());
}
