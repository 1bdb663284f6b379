/** docs/nat-behaviour.md and docs/socket-behaviour.md tell every row, and what its tests say. `node scripts/nat-behaviour.mjs` writes them. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { differenceSections } from '../netns/differential/document.js'
import { collectTests, ROOT } from './collect.js'
import { renderDocument } from './document.js'
import { ROWS } from './rows.js'
import { renderSocketDocument } from './socket-document.js'
import { SOCKET_ROWS } from './socket-rows.js'

const tests = collectTests()

describe('the conformance rows', () => {
  it('are there once each', () => {
    for (const rows of [ROWS, SOCKET_ROWS]) expect(rows.map(({ id }) => id).filter((id, index, all) => all.indexOf(id) !== index)).toEqual([])
  })

  it('have a test each, or a reason why not', () => {
    const tested = new Set(tests.flatMap(({ ids }) => ids))
    expect([...ROWS, ...SOCKET_ROWS].filter(({ id, deviation }) => deviation === undefined && !tested.has(id)).map(({ id }) => id)).toEqual([])
  })

  it('are all that tests name, but for rows of other parts', () => {
    const known = new Set([...ROWS, ...SOCKET_ROWS].map(({ id }) => id))
    const parts = new Set([...known].map((id) => id.replace(/-.*/, '')))
    const strange = tests.flatMap(({ ids, file }) => ids.filter((id) => parts.has(id.replace(/-.*/, '')) && !known.has(id)).map((id) => `${id} in ${file}`))
    expect(strange).toEqual([])
  })
})

describe('docs/nat-behaviour.md', () => {
  it('is what the tests say', async () => {
    await expect(renderDocument(tests, differenceSections())).toMatchFileSnapshot(join(ROOT, 'docs/nat-behaviour.md'))
  })
})

describe('docs/socket-behaviour.md', () => {
  it('is what the tests say', async () => {
    await expect(renderSocketDocument(tests)).toMatchFileSnapshot(join(ROOT, 'docs/socket-behaviour.md'))
  })
})
