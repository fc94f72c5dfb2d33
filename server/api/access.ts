import { Hono } from 'hono';
import type { Access } from '../auth/access.ts';
import { bearerOf } from '../auth/tokens.ts';

/** `GET /api/access/{name}`: what the bearer of a token may do with a document, before opening a socket that says less. */
export function accessRoutes(access: Access): Hono {
  return new Hono().get('/api/access/:name', async (context) => {
    const token = bearerOf(context.req.header('authorization'));
    const grant = await access.decide({ document: context.req.param('name'), token });
    return context.json({ user: grant.user, access: grant.access });
  });
}
