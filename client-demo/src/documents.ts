import { type Address, addressOf, hashOf } from './address.ts';
import { listNames } from './api.ts';
import { element } from './element.ts';
import { recentAddresses } from './recent.ts';

/** The list follows typing when it pauses, in ms. */
const pause = 200;

/** The dialog in which a document is chosen, or a new one is named. */
export class DocumentsDialog {
  readonly #dialog = element('documents', HTMLDialogElement);
  readonly #input = element('documents-name', HTMLInputElement);
  readonly #recent = element('documents-recent', HTMLUListElement);
  readonly #stored = element('documents-stored', HTMLUListElement);
  readonly #remark = element('documents-remark', HTMLParagraphElement);
  readonly #more = element('documents-more', HTMLButtonElement);
  readonly #current: () => Address;
  #cursor: string | undefined;
  /** Counts the lists that were asked for: a late answer to an earlier question is of no interest. */
  #question = 0;

  /** @param current - the document that is open */
  constructor(current: () => Address) {
    this.#current = current;
    let timer: ReturnType<typeof setTimeout> | undefined;
    this.#input.addEventListener('input', () => {
      this.#showRecent();
      clearTimeout(timer);
      timer = setTimeout(() => void this.#list(), pause);
    });
    element('documents-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      const name = this.#input.value.trim();
      if (name === '') return;
      const typed = addressOf(name, this.#current().token);
      location.hash = hashOf(recentAddresses().find((recent) => recent.name === typed.name) ?? typed);
      this.#dialog.close();
    });
    this.#more.addEventListener('click', () => void this.#list(this.#cursor));
    // Also a link to the document that is open, which changes nothing else.
    this.#dialog.addEventListener('click', ({ target }) => {
      if (target instanceof HTMLAnchorElement) this.#dialog.close();
    });
    element('documents-close', HTMLButtonElement).addEventListener('click', () => this.#dialog.close());
  }

  open(): void {
    this.#input.value = '';
    this.#stored.replaceChildren();
    this.#more.hidden = true;
    this.#remark.hidden = false;
    this.#remark.textContent = 'Loading…';
    this.#showRecent();
    void this.#list();
    this.#dialog.showModal();
  }

  #showRecent(): void {
    const found = recentAddresses().filter(({ name }) => name.startsWith(this.#input.value.trim()));
    this.#recent.replaceChildren(...found.map((address) => this.#item(address)));
  }

  async #list(cursor?: string): Promise<void> {
    this.#question += 1;
    const question = this.#question;
    const { token } = this.#current();
    const list = await listNames(token, { prefix: this.#input.value.trim(), cursor });
    if (question !== this.#question) return;
    const items = (list?.names ?? []).map((name) => this.#item(addressOf(name, token)));
    if (cursor === undefined) this.#stored.replaceChildren(...items);
    else this.#stored.append(...items);
    this.#cursor = list?.cursor;
    this.#more.hidden = list?.cursor === undefined;
    this.#remark.hidden = items.length > 0 || cursor !== undefined;
    this.#remark.textContent =
      list === undefined ? 'The server does not list its documents now, or not for you.' : 'None.';
  }

  #item(address: Address): HTMLLIElement {
    const { name } = address;
    const link = document.createElement('a');
    link.href = hashOf(address);
    link.textContent = name;
    if (name === this.#current().name) link.ariaCurrent = 'page';
    const item = document.createElement('li');
    item.append(link);
    return item;
  }
}
