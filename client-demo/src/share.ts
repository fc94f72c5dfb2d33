import { type Address, linkTo } from './address.ts';
import { type Access, askRights, mintToken } from './api.ts';
import { element } from './element.ts';

/** The dialog with links for others. */
export class ShareDialog {
  readonly #dialog = element('share', HTMLDialogElement);
  readonly #remark = element('share-remark', HTMLParagraphElement);
  readonly #writing = new LinkField('share-write', 'Link for editing');
  readonly #reading = new LinkField('share-read', 'Link for reading');
  readonly #current: () => Address;

  /** @param current - the document that is open */
  constructor(current: () => Address) {
    this.#current = current;
    element('share-close', HTMLButtonElement).addEventListener('click', () => this.#dialog.close());
  }

  open(): void {
    this.#writing.show(undefined);
    this.#reading.show(undefined);
    this.#remark.textContent = 'Making links…';
    this.#dialog.showModal();
    void this.#makeLinks(this.#current());
  }

  async #makeLinks(address: Address): Promise<void> {
    const rights = await askRights(address);
    if (rights === undefined) {
      this.#remark.textContent = 'The server cannot be asked for links now.';
      return;
    }
    if (rights.isOpenToAll) {
      this.#writing.show(linkTo({ ...address, token: undefined }));
      this.#remark.textContent =
        'This server asks for no tokens: everybody who reaches it can edit. With a key (JWT_SECRET) there are links for reading, too.';
      return;
    }
    const link = async (access: Access): Promise<string | undefined> => {
      const token = await mintToken(address, access);
      return token === undefined ? undefined : linkTo({ ...address, token });
    };
    // Nobody gives away more than they have, even where the server would let them.
    const mayWrite = rights.access === 'write';
    const [writing, reading] = await Promise.all([mayWrite ? link('write') : undefined, link('read')]);
    if (reading === undefined) {
      this.#writing.show(linkTo(address), 'Your own link');
      this.#remark.textContent =
        'This server gives no links away (DEV_TOKENS): your application makes the tokens. The link below is your own, with all that you may do here.';
      return;
    }
    this.#writing.show(writing);
    this.#reading.show(reading);
    this.#remark.textContent = 'Whoever has a link can use it and pass it on. It ends after a day.';
  }
}

/** A link that can be read and copied. */
class LinkField {
  readonly #row: HTMLDivElement;
  readonly #label: HTMLLabelElement;
  readonly #input: HTMLInputElement;
  readonly #name: string;

  constructor(id: string, name: string) {
    this.#name = name;
    this.#row = element(id, HTMLDivElement);
    this.#label = element(`${id}-label`, HTMLLabelElement);
    this.#input = element(`${id}-link`, HTMLInputElement);
    const button = element(`${id}-copy`, HTMLButtonElement);
    this.#input.addEventListener('focus', () => this.#input.select());
    const copy = async (): Promise<void> => {
      button.textContent = (await copyFrom(this.#input)) ? 'Copied' : 'Press Ctrl+C';
    };
    button.addEventListener('click', () => void copy());
    button.addEventListener('blur', () => (button.textContent = 'Copy'));
  }

  show(link: string | undefined, name = this.#name): void {
    this.#row.hidden = link === undefined;
    this.#label.textContent = name;
    this.#input.value = link ?? '';
  }
}

/** @returns whether it is in the clipboard; pages that came over plain HTTP from elsewhere have none, and select it */
async function copyFrom(input: HTMLInputElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(input.value);
    return true;
  } catch {
    input.select();
    return false;
  }
}
