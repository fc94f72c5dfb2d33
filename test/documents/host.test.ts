import { expect, test, vi } from 'vitest';
import { type Extension, Host } from '../../server/documents/host.ts';

function createHost(extension: Extension = {}): Host {
  return new Host({
    extension,
    documentsPerSocket: 1,
    mustStay: () => false,
    retiring: () => undefined,
    onError: (error) => {
      throw error;
    },
  });
}

const request = new Request('http://localhost/');
const open = (host: Host, name: string) =>
  host.createDocument(name, request, 'socket', { readOnly: false, isAuthenticated: true });

test('[D2] a timer that still holds a document which was unloaded does not unload the one that came after it', async () => {
  const host = createHost();
  const old = await open(host, 'notes');
  await vi.waitFor(() => expect(host.documents.has('notes')).toBe(false));
  const fresh = await open(host, 'notes');
  expect(fresh).not.toBe(old);
  fresh.addDirectConnection();
  await host.unloadDocument(old);
  expect(host.documents.get('notes')).toBe(fresh);
  fresh.removeDirectConnection();
  host.unloadIfUnused('notes');
  await vi.waitFor(() => expect(host.documents.has('notes')).toBe(false));
});

test("[P11] a change of somebody's presence does not have everybody's listed", async () => {
  const { awareness } = await open(createHost(), 'crowd');
  const list = vi.spyOn(awareness, 'getStates');
  awareness.setLocalState({ cursor: 1 });
  expect(awareness.getLocalState()).toEqual({ cursor: 1 });
  expect(list).not.toHaveBeenCalled();
});

test('[S10] the store time comes of edits that were made here, also where one of another instance came just before', async () => {
  const onStoreDocument = vi.fn<NonNullable<Extension['onStoreDocument']>>();
  const host = createHost({ onStoreDocument });
  const document = await open(host, 'folded');
  const text = document.getText();
  document.addDirectConnection();
  document.transact(() => text.insert(0, 'theirs'), { source: 'redis' });
  host.flushPendingStores();
  expect(onStoreDocument).not.toHaveBeenCalled();
  for (let edit = 0; edit < 3; edit += 1) text.insert(0, 'ours');
  host.flushPendingStores();
  await vi.waitFor(() => expect(onStoreDocument).toHaveBeenCalledOnce());
});
