import { OpenAPIHono, type RouteConfig } from '@hono/zod-openapi';
import type { Context, Handler, MiddlewareHandler } from 'hono';
import type { z } from 'zod';
import { IndelibleError } from '../errors.ts';
import type { CallerEnv } from './caller.ts';

/** Routes that describe themselves for `GET /api/openapi.json`. */
export type DescribedApp = OpenAPIHono<CallerEnv>;

/** Name of how a caller says who they are. */
export const TOKEN = 'token';

/** Name of how it is said why something was not done. */
export const PROBLEM = 'Problem';
/** Its description. */
export const problemAnswer = {
  description: 'Why it was not done',
  content: { 'application/problem+json': { schema: { $ref: `#/components/schemas/${PROBLEM}` } } },
};
const REFUSALS = ['400', '401', '403', '429', '503'];
const REFUSALS_OF_CHANGES = ['409', '413', '415', '422', '504'];

/**
 * Adds a route. What it is given is checked by its handler, with the schemas of its description, once it is known who asks: so nothing
 * is read, and nothing told, before.
 */
export function describe(
  app: DescribedApp,
  description: RouteConfig,
  ...handlers: [...MiddlewareHandler<CallerEnv>[], Handler<CallerEnv>]
): void {
  const path = pathOf(description);
  const security = [{ [TOKEN]: [] }];
  const own = Object.entries(description.responses).map(([status, answer]) => [
    status,
    Number(status) < 400 ? answer : { ...problemAnswer, ...answer },
  ]);
  const responses = { ...refusalsOf(description), ...Object.fromEntries(own) } as RouteConfig['responses'];
  app.openAPIRegistry.registerPath({ ...description, security, responses });
  app.on([description.method], [path], ...handlers);
}

/** What a route may answer besides what it is there for. */
function refusalsOf({ method, path }: RouteConfig): RouteConfig['responses'] {
  const statuses = [
    ...REFUSALS,
    ...(path.includes('{name}') ? ['404'] : []),
    ...(method === 'get' ? [] : REFUSALS_OF_CHANGES),
    'default',
  ];
  const answer = { $ref: `#/components/responses/${PROBLEM}` };
  return Object.fromEntries(statuses.map((status) => [status, answer]));
}

function pathOf({ path }: Pick<RouteConfig, 'path'>): string {
  return path.replaceAll(/\{(.+?)\}/g, ':$1');
}

/** Answers every other method of the routes that were added so far. */
export function refuseOtherMethods(app: DescribedApp): void {
  const methods = new Map<string, string[]>();
  for (const definition of app.openAPIRegistry.definitions) {
    if (definition.type !== 'route') continue;
    const path = pathOf(definition.route);
    const method = definition.route.method.toUpperCase();
    methods.set(path, [...(methods.get(path) ?? []), method, ...(method === 'GET' ? ['HEAD'] : [])]);
  }
  for (const [path, allowed] of methods)
    app.all(path, (context) => {
      context.header('Allow', allowed.join(', '));
      throw new IndelibleError('bad_method');
    });
}

export function json<S extends z.ZodType>(description: string, schema: S) {
  return { description, content: { 'application/json': { schema } } };
}

/** The query of a request; what is given twice as an array. */
export function queryOf<S extends z.ZodType>(context: Context, schema: S): z.output<S> {
  const given = Object.entries(context.req.queries()).map(([name, values]) => [
    name,
    values.length === 1 ? values[0] : values,
  ]);
  return schema.parse(Object.fromEntries(given));
}

/**
 * The body of a request.
 * @throws {@link IndelibleError} `bad_request`, `bad_media_type`
 */
export async function jsonOf<S extends z.ZodType>(context: Context, schema: S): Promise<z.output<S>> {
  if (mediaTypeOf(context) !== 'application/json') throw new IndelibleError('bad_media_type');
  return schema.parse(parse(await context.req.text(), 'the body'));
}

/**
 * @param what - it is that is no JSON
 * @throws {@link IndelibleError} `bad_request`
 */
export function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new IndelibleError('bad_request', `${what} is no JSON`, { cause: error });
  }
}

/** The media type of a Yjs update. */
export const UPDATE = 'application/octet-stream';

/** Without parameters; blank when there is none. */
export function mediaTypeOf(context: Context): string {
  const [type = ''] = (context.req.header('content-type') ?? '').split(';', 1);
  return type.trim().toLowerCase();
}
