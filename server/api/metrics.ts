import { Hono } from 'hono';
import type { Metrics } from '../metrics.ts';

/** `GET /metrics` in the Prometheus text format. */
export function metricsRoutes(metrics: Metrics): Hono {
  return new Hono().get('/metrics', async (context) => {
    context.header('Content-Type', metrics.registry.contentType);
    return context.body(await metrics.text());
  });
}
