import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { DocumentCopy, type Json, type RootType } from '../../server/documents/content.ts';

/** As it is read from the database: its roots have no type. */
function copyOf(fill: (doc: Y.Doc) => void): DocumentCopy {
  const doc = new Y.Doc();
  fill(doc);
  const copy = new Y.Doc();
  Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc));
  return new DocumentCopy(copy);
}

function element(name: string, ...children: (Y.XmlElement | Y.XmlText)[]): Y.XmlElement {
  const created = new Y.XmlElement(name);
  created.insert(0, children);
  return created;
}

/** What TipTap would keep of a heading, and a paragraph with a mention and a bold word. */
function fillProse(doc: Y.Doc): void {
  const heading = element('heading', new Y.XmlText('Title'));
  const mention = element('mention');
  doc
    .getXmlFragment('prose')
    .insert(0, [heading, element('paragraph', new Y.XmlText('Dear '), mention, new Y.XmlText('!'))]);
  heading.setAttribute('level', 2 as unknown as string);
  mention.setAttribute('id', 'anna');
  (heading.firstChild as Y.XmlText).format(0, 2, {
    'bold--Abcd1234': {},
    link: { href: 'https://example.com' },
  });
}

const prose = {
  type: 'doc',
  content: [
    {
      type: 'heading',
      attrs: { level: 2 },
      content: [
        {
          type: 'text',
          text: 'Ti',
          marks: [{ type: 'bold' }, { type: 'link', attrs: { href: 'https://example.com' } }],
        },
        { type: 'text', text: 'tle' },
      ],
    },
    {
      type: 'paragraph',
      content: [
        { type: 'text', text: 'Dear ' },
        { type: 'mention', attrs: { id: 'anna' } },
        { type: 'text', text: '!' },
      ],
    },
  ],
};

describe('as JSON', () => {
  test('[O7] text is a list of insertions, with their formatting and what is embedded', () => {
    const copy = copyOf((doc) => {
      const text = doc.getText('content');
      text.insert(0, 'plain bold');
      text.format(6, 4, { bold: true });
      text.insertEmbed(10, { image: 'a.png' });
    });
    const insertions = [
      { insert: 'plain ' },
      { insert: 'bold', attributes: { bold: true } },
      { insert: { image: 'a.png' } },
    ];
    expect(copy.json()).toEqual({ content: insertions });
    expect(copy.root('content')).toEqual(insertions);
    expect(copy.text()).toBe('plain bold');
  });

  test('[O7] XML is what ProseMirror writes', () => {
    const copy = copyOf(fillProse);
    expect(copy.json()).toEqual({ prose });
    expect(copy.text('prose')).toBe('Title\nDear \n!');
  });

  test('[O7] the texts of Lexical, which lie in one another, are read when the type is told', () => {
    const copy = copyOf((doc) => {
      const root = doc.get('root', Y.XmlText);
      const paragraph = new Y.XmlText();
      root.insertEmbed(0, paragraph);
      paragraph.setAttribute('__type', 'paragraph');
      paragraph.insertEmbed(0, new Y.Map(Object.entries({ __type: 'text' })));
      paragraph.insert(1, 'Hello');
    });
    const insertions = [{ insert: { __type: 'text' } }, { insert: 'Hello' }];
    expect(copy.json({ root: 'text' })).toEqual({
      root: [{ insert: { attrs: { __type: 'paragraph' }, delta: insertions } }],
    });
    expect(copy.text('root', 'text')).toBe('Hello');
  });

  test('[O7] maps and arrays are what they hold, however nested', () => {
    const copy = copyOf((doc) => {
      const map = doc.getMap<unknown>('map');
      map.set('number', 1.5);
      map.set('nothing', undefined);
      map.set('not a number', NaN);
      map.set('large', 2n ** 60n);
      map.set('bytes', new Uint8Array([1, 2, 3]));
      map.set('value', { list: [null, true] });
      map.set('gone', 1);
      map.delete('gone');
      map.set('title', new Y.Text('nested'));
      map.set('part', new Y.Doc({ guid: 'a-guid' }));
      doc.getArray<unknown>('list').push([new Y.Array(), 'two', new Y.Map([['key', 'value']])]);
    });
    expect(copy.json()).toEqual({
      map: {
        number: 1.5,
        nothing: null,
        'not a number': null,
        large: '1152921504606846976',
        bytes: 'AQID',
        value: { list: [null, true] },
        title: [{ insert: 'nested' }],
        part: { guid: 'a-guid' },
      },
      list: [[], 'two', { key: 'value' }],
    });
    expect(() => copy.text('map')).toThrow('neither text nor XML');
  });

  test('[O7] a key `__proto__` is data', () => {
    const copy = copyOf((doc) => {
      doc.getMap('map').set('__proto__', 'data');
      doc.getMap('__proto__').set('key', 'root');
      const paragraph = element('p');
      doc.getXmlFragment('prose').insert(0, [paragraph]);
      paragraph.setAttribute('__proto__', 'attribute');
    });
    expect(JSON.stringify(copy.json())).toBe(
      JSON.stringify(
        JSON.parse(
          `{"map":{"__proto__":"data"},"__proto__":{"key":"root"},
            "prose":{"type":"doc","content":[{"type":"p","attrs":{"__proto__":"attribute"}}]}}`,
        ),
      ),
    );
  });
});

describe('the type of a root', () => {
  test.each<[type: RootType, fill: (doc: Y.Doc) => unknown, json: Json]>([
    ['text', (doc: Y.Doc) => doc.getText('root').insert(0, 'text'), [{ insert: 'text' }]],
    ['map', (doc: Y.Doc) => doc.getMap('root').set('key', 1), { key: 1 }],
    ['array', (doc: Y.Doc) => doc.getArray('root').push([new Y.Map()]), [{}]],
    [
      'xml',
      (doc: Y.Doc) => doc.getXmlFragment('root').insert(0, [element('p')]),
      { type: 'doc', content: [{ type: 'p' }] },
    ],
  ])('[O7] shows in what it holds: %s', (type, fill, json) => {
    const copy = copyOf((doc) => void fill(doc));
    expect(copy.json()).toEqual({ root: json });
    expect(copy.json({ root: type })).toEqual({ root: json });
    for (const other of ['text', 'map', 'array', 'xml'] as const) {
      // Types may lie in several; and a text may have attributes.
      const isPossible = (other === 'text' && type !== 'map') || (type === 'xml' && other === 'array');
      if (other === type || isPossible || (type === 'map' && other !== 'array')) continue;
      expect(() => copy.json({ root: other })).toThrow(expect.objectContaining({ code: 'wrong_type' }));
    }
  });

  test('[O7] is what is told where it can be several: text or arrays that begin with types, and texts with attributes', () => {
    const copy = copyOf((doc) => {
      const text = doc.getText('text');
      text.insertEmbed(0, new Y.Map([['key', 1]]));
      text.insert(1, 'after');
      doc.getArray<unknown>('array').push([new Y.XmlText('first'), 2]);
      doc.getArray('fragments').push([new Y.XmlElement('p')]);
      const emptied = doc.getText('emptied');
      emptied.setAttribute('__type', 'root');
    });
    const text = [{ insert: { key: 1 } }, { insert: 'after' }];
    expect(copy.json()).toEqual({
      text,
      array: [[{ insert: 'first' }], 2],
      fragments: { type: 'doc', content: [{ type: 'p' }] },
      emptied: { __type: 'root' },
    });
    expect(copy.json({ text: 'text', array: 'array', fragments: 'array', emptied: 'text' })).toEqual({
      text,
      array: [[{ insert: 'first' }], 2],
      fragments: [{ type: 'p' }],
      emptied: { attrs: { __type: 'root' }, delta: [] },
    });
  });

  test('[O7] is never refused when nothing is told, also where clients have taken a root for different things', () => {
    const [one, other] = [new Y.Doc(), new Y.Doc()];
    one.getText('root').insert(0, 'text');
    other.getArray('root').push([1]);
    const copy = copyOf((doc) => {
      for (const each of [one, other]) Y.applyUpdate(doc, Y.encodeStateAsUpdate(each));
    });
    expect(copy.json()).toEqual({ root: [{ insert: 'text' }] });
    expect(() => copy.json({ root: 'text' })).toThrow(expect.objectContaining({ code: 'wrong_type' }));
  });

  test('[O7] has to be told when nothing is left', () => {
    const copy = copyOf((doc) => {
      doc.getText('root').insert(0, 'gone');
      doc.getText('root').delete(0, 4);
    });
    expect(copy.json()).toEqual({ root: null });
    expect(copy.text('root')).toBe('');
    expect(copy.json({ root: 'text', other: 'map' })).toEqual({ root: [], other: {} });
    expect(copy.json({ root: 'map' })).toEqual({ root: {} });
  });

  test('[O7] is free for the program that has the copy', () => {
    const copy = copyOf((doc) => doc.getText('content').insert(0, 'text'));
    expect(copy.text()).toBe('text');
    expect(copy.doc.getText('content').toString()).toBe('text');
  });
});
