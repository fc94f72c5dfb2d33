import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { z } from 'zod';
import { IndelibleError, toIndelibleError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';

/** These end by themselves, mostly within a second. */
const SOON_OVER = new Set([429, 503, 504]);
/** But for this one, which an operator has to mend. */
const LASTING = 'document_unavailable';
const RETRY_AFTER_SECONDS = '1';

/** Answers what was thrown, as RFC 9457 has it, with a `code` of the table of errors. */
export function problemOf(
  thrown: unknown,
  context: Context,
  { log, metrics }: { log: Log; metrics: Metrics },
): Response {
  const error = asIndelibleError(thrown);
  if (error.code === 'internal_error') log.error({ err: thrown }, 'a request failed');
  metrics.refused.inc({ code: error.code });
  if (error.status === 401) context.header('WWW-Authenticate', 'Bearer');
  if (SOON_OVER.has(error.status) && error.code !== LASTING)
    context.header('Retry-After', RETRY_AFTER_SECONDS);
  const { code, status, title, detail } = error;
  return context.json(
    { type: `urn:indelible:${code}`, title, status, code, detail },
    status as ContentfulStatusCode,
    {
      'Content-Type': 'application/problem+json',
    },
  );
}

function asIndelibleError(thrown: unknown): IndelibleError {
  if (thrown instanceof z.ZodError) return new IndelibleError('bad_request', describe(thrown.issues));
  if (thrown instanceof HTTPException && thrown.status < 500)
    return new IndelibleError('bad_request', thrown.message, { cause: thrown });
  return toIndelibleError(thrown);
}

type Issue = z.core.$ZodIssue;

/** The first that is wrong; of what may be one of several, by the one that it is most like. */
function describe(issues: readonly Issue[], path: readonly PropertyKey[] = []): string {
  const [issue] = issues;
  if (issue === undefined) return 'it is wrong';
  const at = [...path, ...issue.path];
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const others = issue.errors.flatMap(
      (branch) => branch.find(({ code }) => code === 'invalid_value') ?? [],
    );
    const nearest = issue.errors.toSorted((a, b) => distance(a) - distance(b));
    return others.length === issue.errors.length ? describeWords(others, at) : describe(nearest[0] ?? [], at);
  }
  return at.length === 0 ? issue.message : `${at.map(String).join('.')}: ${issue.message}`;
}

/** None of them has this word. */
function describeWords(issues: readonly Issue[], path: readonly PropertyKey[]): string {
  const words = new Set(issues.flatMap((issue) => ('values' in issue ? issue.values : [])));
  const at = [...path, ...(issues[0]?.path ?? [])];
  return `${at.map(String).join('.')}: one of ${[...words].join(', ')} is expected`;
}

/** Another operation is further away than one of which something is wrong. */
function distance(issues: readonly Issue[]): number {
  return issues.reduce((sum, { code }) => sum + (code === 'invalid_value' ? 10 : 1), 0);
}
