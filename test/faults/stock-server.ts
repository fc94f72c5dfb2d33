/*
 * Stock Hocuspocus with its database extension, wired as its documentation does, for comparison: full states in Postgres,
 * stored some seconds after an edit. PORT and DATABASE_URL come from the environment; with REDIS_URL it is one of several.
 */
import { Database } from '@hocuspocus/extension-database';
import { Redis } from '@hocuspocus/extension-redis';
import { Server } from '@hocuspocus/server';
import { Pool } from 'pg';

const pool = new Pool({ connectionString: process.env['DATABASE_URL'] });
await pool.query('create table if not exists documents (name text primary key, data bytea not null)');

const redis = URL.parse(process.env['REDIS_URL'] ?? '');

const server = new Server({
  port: Number(process.env['PORT']),
  address: '127.0.0.1',
  quiet: true,
  extensions: [
    ...(redis === null ? [] : [new Redis({ host: redis.hostname, port: Number(redis.port || 6379) })]),
    new Database({
      fetch: async ({ documentName }) => {
        const { rows } = await pool.query<{ data: Buffer }>('select data from documents where name = $1', [
          documentName,
        ]);
        return rows[0]?.data ?? null;
      },
      store: async ({ documentName, state }) => {
        await pool.query(
          'insert into documents (name, data) values ($1, $2) on conflict (name) do update set data = $2',
          [documentName, state],
        );
      },
    }),
  ],
});
await server.listen();
process.stdout.write('ready\n');
