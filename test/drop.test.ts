import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Drop, DROP_NAMES, DROP_TEXTS } from '../src/drop.js'

const sources = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && entry.name !== 'drop.ts')
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))

describe('drop reasons', () => {
  it('have a code, a name and a text each', () => {
    expect(Drop['none']).toBe(0)
    expect(DROP_TEXTS).toHaveLength(DROP_NAMES.length)
    expect(new Set(DROP_NAMES).size).toBe(DROP_NAMES.length)
    expect(new Set(DROP_TEXTS).size).toBe(DROP_TEXTS.length)
    for (const [name, code] of Object.entries(Drop)) {
      expect(DROP_NAMES[code]).toBe(name)
      expect(name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/)
      expect(DROP_TEXTS[code]).toMatch(/^\S.*[^.\s]$/)
    }
  })

  it('are all used', () => {
    const text = sources('src').join('\n')
    const unused = DROP_NAMES.filter((name) => name !== 'none' && !text.includes(`Drop['${name}']`))
    expect(unused).toEqual([])
  })
})
