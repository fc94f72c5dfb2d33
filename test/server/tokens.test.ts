import { beforeAll, describe, expect, test } from 'vitest';
import { startServer } from '../helpers/server.ts';
import { type Claims, SECRET, askAccess, inSeconds, mint } from '../helpers/tokens.ts';

const ISSUER = 'https://login.example';
const AUDIENCE = 'https://docs.example';

/** The answers to a token of whoever may write, if it says so much beside. */
function answersTo(url: string, claims: Claims): Promise<string> {
  return mint(claims).then((token) => askAccess(url, 'notes/today', token));
}

describe('issuer and audience', () => {
  let strict: string;
  let lax: string;
  beforeAll(async () => {
    const options = { jwtSecret: SECRET, jwtIssuer: ISSUER, jwtAudience: AUDIENCE };
    [{ url: strict }, { url: lax }] = await Promise.all([
      startServer(options),
      startServer({ jwtSecret: SECRET }),
    ]);
  });

  test.each<[what: string, answer: string, claims: Claims]>([
    ['both', '200 write', { iss: ISSUER, aud: AUDIENCE }],
    ['one of several audiences', '200 write', { iss: ISSUER, aud: ['https://other.example', AUDIENCE] }],
    ['another issuer', '401 unauthorized', { iss: 'https://evil.example', aud: AUDIENCE }],
    ['an issuer that only begins so', '401 unauthorized', { iss: `${ISSUER}.evil.example`, aud: AUDIENCE }],
    ['no issuer', '401 unauthorized', { aud: AUDIENCE }],
    ['another audience', '401 unauthorized', { iss: ISSUER, aud: 'https://other.example' }],
    ['no audience', '401 unauthorized', { iss: ISSUER }],
    ['neither', '401 unauthorized', {}],
  ])(
    '[K3] that are set: a token with %s gets %s; where none are set, it is let in',
    async (_what, answer, claims) => {
      expect(await answersTo(strict, claims)).toBe(answer);
      expect(await answersTo(lax, claims)).toBe('200 write');
    },
  );
});

describe('the times and the user of a token', () => {
  let url: string;
  beforeAll(async () => {
    ({ url } = await startServer({ jwtSecret: SECRET }));
  });

  // Clocks may differ by 60 s. Some seconds are left for a machine that is slow.
  test.each<[what: string, answer: string, claims: () => Claims]>([
    ['ended 50 s ago', '200 write', () => ({ exp: inSeconds(-50) })],
    ['ended 61 s ago', '401 token_expired', () => ({ exp: inSeconds(-61) })],
    ['begins in 50 s', '200 write', () => ({ nbf: inSeconds(50) })],
    ['begins in 70 s', '401 unauthorized', () => ({ nbf: inSeconds(70), exp: inSeconds(600) })],
    ['was issued in 50 s', '200 write', () => ({ iat: inSeconds(50) })],
    ['was issued in 70 s', '401 unauthorized', () => ({ iat: inSeconds(70), exp: inSeconds(600) })],
    ['does not say when it was issued', '200 write', () => ({ iat: undefined })],
    ['lasts for ever', '200 write', () => ({ exp: Number.MAX_SAFE_INTEGER })],
    ['ends at no time', '401 unauthorized', () => ({ exp: '2100-01-01' as unknown as number })],
    ['has no end', '401 unauthorized', () => ({ exp: undefined })],
    ['is for nobody', '401 unauthorized', () => ({ sub: undefined })],
    ['is for an empty user', '401 unauthorized', () => ({ sub: '' })],
    ['is for a user with a line break', '401 unauthorized', () => ({ sub: 'anna\nroot' })],
    ['is for a user of 255 bytes', '200 write', () => ({ sub: 'a'.repeat(255) })],
    ['is for a user of 256 bytes', '401 unauthorized', () => ({ sub: 'a'.repeat(256) })],
    ['gives access of no kind', '401 unauthorized', () => ({ access: { '**': 'all' } })],
    ['gives access in a list', '401 unauthorized', () => ({ access: ['**'] })],
    ['gives no access', '403 forbidden', () => ({ access: undefined })],
  ])('[K3] one that %s gets %s', async (_what, answer, claims) => {
    expect(await answersTo(url, claims())).toBe(answer);
  });
});
