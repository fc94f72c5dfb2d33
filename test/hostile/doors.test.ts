import { beforeAll, describe, expect, test } from 'vitest';
import { type Scene, setScene } from '../helpers/bystanders.ts';
import { type RawClient, rawHocuspocus } from '../helpers/raw-client.ts';
import { HANDSHAKE, answerTo, requestOf } from '../helpers/raw-http.ts';

const ROOM = 'hostile/doors';
const KB = 1024;

const { 'Sec-WebSocket-Key': _key, ...KEYLESS } = HANDSHAKE;
const CLOSING = { Connection: 'close' };

let scene: Scene;
beforeAll(async () => {
  scene = await setScene(ROOM);
});

describe('what is no upgrade', () => {
  test.each<[name: string, request: string, status: string, body: string]>([
    ['a name with NUL', requestOf('/a%00b', HANDSHAKE), '400 Bad Request', 'bad_name'],
    ['a name with NUL as it stands', requestOf('/a\0b', HANDSHAKE), '400 Bad Request', ''],
    ['a path of 10 KB', requestOf(`/${'a'.repeat(10 * KB)}`, HANDSHAKE), '400 Bad Request', 'bad_name'],
    ['a page of 10 KB', requestOf(`/${'a'.repeat(10 * KB)}`, CLOSING), '404 Not Found', 'bad_path'],
    ['no key', requestOf(`/${ROOM}`, KEYLESS), '400 Bad Request', 'Sec-WebSocket-Key'],
    [
      'a key that is none',
      requestOf(`/${ROOM}`, { ...HANDSHAKE, 'Sec-WebSocket-Key': 'x' }),
      '400 Bad Request',
      'Sec-WebSocket-Key',
    ],
    [
      'another version',
      requestOf(`/${ROOM}`, { ...HANDSHAKE, 'Sec-WebSocket-Version': '7' }),
      '400 Bad Request',
      'Sec-WebSocket-Version',
    ],
    ['another method', requestOf(`/${ROOM}`, HANDSHAKE, 'POST'), '405 Method Not Allowed', 'method'],
    [
      'a header of 100 KB',
      requestOf(`/${ROOM}`, { ...HANDSHAKE, Cookie: 'x'.repeat(100 * KB) }),
      '431 Request Header Fields Too Large',
      '',
    ],
    ['a path of 100 KB', requestOf(`/${'a'.repeat(100 * KB)}`, HANDSHAKE), '431 Request Header Fields', ''],
    ['no HTTP', 'hello\r\n\r\n', '400 Bad Request', ''],
  ])('[X3] %s: %3$s', async (_name, request, status, body) => {
    const answer = await answerTo(scene.url, request);
    expect(answer.split('\r\n')[0]).toContain(`HTTP/1.1 ${status}`);
    expect(answer.slice(answer.indexOf('\r\n\r\n'))).toContain(body);
    await scene.isUnharmed();
  });
});

const open = (client: RawClient, address: string) => client.send({ type: 'token', token: '' }, address);

describe('a name with NUL over Hocuspocus', () => {
  test.each(['\0', '\0a', 'a\u0001\0b'])('[X3] %j is refused by name', async (address) => {
    const attacker = await rawHocuspocus(scene.url);
    open(attacker, address);
    expect(await attacker.next('denied')).toMatchObject({ reason: 'bad_name', address });
    await scene.isUnharmed();
  });

  test('[X3] what follows the NUL names a session, whatever it is, and no document', async () => {
    const attacker = await rawHocuspocus(scene.url);
    const address = `${ROOM}\0\0\u0001${'x'.repeat(500)}`;
    open(attacker, address);
    expect(await attacker.next('authenticated')).toMatchObject({ address });
    open(attacker, `${ROOM}\0${'x'.repeat(10 * KB)}`);
    expect(await attacker.closed()).toEqual({ code: 4400, reason: 'bad_frame' });
    await scene.isUnharmed();
  });
});
