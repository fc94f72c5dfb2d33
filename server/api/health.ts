import { Hono } from 'hono';

/** What the health routes ask the server. */
export interface HealthSource {
  isDraining(): boolean;
  /** Whether the database answers. */
  isDatabaseThere(): Promise<boolean>;
}

/** Answer of `GET /readyz`. */
interface Readiness {
  /** `unready` (503) while draining or while the database is away, since nothing is acknowledged then. */
  readonly status: 'ready' | 'degraded' | 'unready';
  readonly database: 'there' | 'away';
  readonly redis: 'not configured';
}

/** `GET /healthz`: the process answers. `GET /readyz`: it should get traffic. */
export function healthRoutes(source: HealthSource): Hono {
  return new Hono()
    .get('/healthz', (context) => context.json({ status: 'alive' }))
    .get('/readyz', async (context) => {
      const isThere = await source.isDatabaseThere();
      const isReady = isThere && !source.isDraining();
      const readiness: Readiness = {
        status: isReady ? 'ready' : 'unready',
        database: isThere ? 'there' : 'away',
        redis: 'not configured',
      };
      return context.json(readiness, isReady ? 200 : 503);
    });
}
