/*
 * What takes part in each case besides the servers, for RESULTS.md.
 */
import { Redis } from 'ioredis';
import { beforeEach, inject } from 'vitest';
import { queryOnce } from '../helpers/postgres.ts';

beforeEach(async ({ task }) => {
  const redis = new Redis(inject('redisUrl'));
  const [, redisVersion = ''] = /redis_version:(\S+)/.exec(await redis.info('server')) ?? [];
  redis.disconnect();
  const [postgres] = await queryOnce<{ server_version: string }>(
    inject('postgresUrl'),
    'show server_version',
  );
  task.meta.versions = `Redis ${redisVersion}; Postgres ${postgres?.server_version ?? ''}, fsync on.`;
});
