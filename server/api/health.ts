import { Hono } from 'hono';

/** What the health routes ask the server. */
export interface HealthSource {
  isDraining(): boolean;
  /** Whether the database answers. */
  isDatabaseThere(): Promise<boolean>;
  readonly redis: RedisHealth;
}

/** Whether other instances can be reached. */
type RedisHealth = () => 'there' | 'away' | 'not configured';

/** Answer of `GET /readyz`. */
interface Readiness {
  /**
   * `unready` (503) while draining or while the database is away, since nothing is acknowledged then; `degraded` (200) without
   * Redis, since people at other instances are seen later.
   */
  readonly status: 'ready' | 'degraded' | 'unready';
  readonly database: 'there' | 'away';
  readonly redis: ReturnType<RedisHealth>;
}

/** `GET /healthz`: the process answers. `GET /readyz`: it should get traffic. */
export function healthRoutes(source: HealthSource): Hono {
  return new Hono()
    .get('/healthz', (context) => context.json({ status: 'alive' }))
    .get('/readyz', async (context) => {
      const isThere = await source.isDatabaseThere();
      const isReady = isThere && !source.isDraining();
      const redis = source.redis();
      const readiness: Readiness = {
        status: !isReady ? 'unready' : redis === 'away' ? 'degraded' : 'ready',
        database: isThere ? 'there' : 'away',
        redis,
      };
      return context.json(readiness, isReady ? 200 : 503);
    });
}
