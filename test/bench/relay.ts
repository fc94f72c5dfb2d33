/*
 * The floor: what a WebSocket server costs that is nothing else. Who speaks y-websocket's protocol is sent what others in the document
 * send, and at first what they have sent; nothing is read, merged or stored. PORT comes from the environment.
 */
import { type WebSocket, WebSocketServer } from 'ws';

const SYNC = 0;
const STEP_1 = 0;
/** Step 2 with an update that holds nothing. */
const NOTHING_ELSE = Buffer.from([SYNC, 1, 2, 0, 0]);

interface Room {
  sockets: Set<WebSocket>;
  updates: Buffer[];
}

const rooms = new Map<string, Room>();
const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.env['PORT']) });
server.on('connection', (socket, { url = '' }) => {
  const room = rooms.get(url) ?? { sockets: new Set(), updates: [] };
  rooms.set(url, room);
  room.sockets.add(socket);
  socket.on('close', () => room.sockets.delete(socket));
  socket.on('message', (data: Buffer) => {
    if (data[0] === SYNC && data[1] === STEP_1) {
      for (const update of [...room.updates, NOTHING_ELSE]) socket.send(update);
      return;
    }
    if (data[0] === SYNC) room.updates.push(data);
    for (const other of room.sockets) if (other !== socket) other.send(data);
  });
});
server.on('listening', () => process.stdout.write('ready\n'));
