import { vi } from 'vitest';
import { Broadcast } from '../../server/documents/broadcast.ts';
import { atTestEnd } from './cleanup.ts';

/**
 * The check leaves no update that is known to make Yjs throw, so the next one that a server in this process takes is made to, after
 * it was applied; of those that are applied together the last one.
 */
export function throwOnNextApply(): void {
  const during: Broadcast['during'] = Reflect.get(Broadcast.prototype, 'during');
  const spy = vi.spyOn(Broadcast.prototype, 'during');
  spy.mockImplementationOnce(function (this: Broadcast, ...args) {
    during.apply(this, args);
    throw new Error('thrown after the document was changed');
  });
  atTestEnd(() => spy.mockRestore());
}
