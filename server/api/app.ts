import { Hono } from 'hono';
import { healthRoutes, type HealthSource } from './health.ts';
import { metricsRoutes } from './metrics.ts';
import { pageRoutes } from './page.ts';
import type { Metrics } from '../metrics.ts';

/** The HTTP side: health, metrics, and the page at `/`. */
export function createApp(options: { health: HealthSource; metrics: Metrics }): Hono {
  return new Hono()
    .route('/', healthRoutes(options.health))
    .route('/', metricsRoutes(options.metrics))
    .route('/', pageRoutes());
}
