/** The documents tell all there is, and only what there is. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { configJsonSchema } from '../src/config.js'
import { DROP_NAMES, DROP_TEXTS } from '../src/drop.js'
import { ExitCode } from '../src/errors.js'
import * as library from '../src/index.js'
import * as policy from '../src/policy/index.js'
import * as wire from '../src/stack/wire/index.js'
import * as sockets from '../src/sockets/index.js'
import * as testing from '../src/testing/index.js'
import { tsnat } from './cli/harness.js'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const documents = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', ...readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)]

/** Rows of all tables, as trimmed cells. */
const rows = (text: string): string[][] =>
  text.split('\n').filter((line) => line.startsWith('|')).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()))
const bare = (cell: string): string => cell.replaceAll('`', '')

describe('docs/drop-reasons.md', () => {
  it('lists every reason with its meaning, in the order of src/drop.ts', () => {
    const told = rows(read('docs/drop-reasons.md')).slice(2).map(([name = '', meaning = '']) => [bare(name), meaning])
    expect(told).toEqual(DROP_NAMES.map((name, code) => [name, DROP_TEXTS[code]]).slice(1))
  })
})

interface Schema {
  properties?: Record<string, Schema>
  anyOf?: Schema[]
  default?: unknown
}

/** Every key below a mapping, as `a.b`, with its default. Sides and directions of faults are told once. */
const keys = (schema: Schema, prefix = ''): [key: string, fallback: unknown][] => {
  const mapping = schema.anyOf?.find((one) => one.properties !== undefined) ?? schema
  return Object.entries(mapping.properties ?? {}).flatMap(([name, below]): [string, unknown][] => {
    const key = `${prefix}${name}`
    return [[key, below.default], ...keys(below, `${key}.`)]
  })
}
const generalised = (key: string): string =>
  key.replace(/^fault\.(lan|wan)/, 'fault.SIDE').replace(/^fault\.SIDE\.(in|out)/, 'fault.SIDE.DIRECTION')

describe('docs/configuration.md', () => {
  const text = read('docs/configuration.md')
  const table = new Map(rows(text).map(([key = '', ...cells]) => [bare(key), cells]))

  it.each(keys(configJsonSchema() as Schema))('describes %s', (key, fallback) => {
    const name = generalised(key)
    expect(text).toContain(`\`${name}\``)
    if (!['string', 'number', 'boolean'].includes(typeof fallback)) return
    expect(table.get(name)?.map(bare), `${name}, default ${String(fallback)}`).toContain(String(fallback))
  })

  it('describes nothing else', () => {
    const known = new Set(keys(configJsonSchema() as Schema).map(([key]) => generalised(key)))
    const told = [...table.keys()].filter((key) => /^[a-z]\w*(\.\w+)*$/.test(key))
    expect(told.filter((key) => !known.has(key))).toEqual([])
  })
})

describe('docs/exit-codes.md', () => {
  it('lists every code', () => {
    const told = rows(read('docs/exit-codes.md')).map(([code]) => code).filter((code) => /^\d+$/.test(code ?? ''))
    expect(told.map(Number)).toEqual(Object.values(ExitCode))
  })
})

describe('docs/commands.md', async () => {
  const text = read('docs/commands.md')
  const everywhere = text + read('docs/configuration.md')
  const help = (await tsnat('--help')).out
  const commands = [...help.matchAll(/^ {2}(\w+) \[options\]/gm)].map(([, name]) => name!)

  it('has a section for each command', () => {
    expect(commands.length).toBeGreaterThan(5)
    expect([...text.matchAll(/^## tsnat (\w+)$/gm)].map(([, name]) => name)).toEqual(commands)
  })

  it.each(commands)('tells every option of %s', async (command) => {
    const { out } = await tsnat(command, '--help')
    const options = [...out.matchAll(/^ {2}(?:-\w, )?(--[\w-]+(?:, --[\w-]+)*)/gm)].flatMap(([, names]) => names!.split(', '))
    expect(options.length).toBeGreaterThan(1)
    expect(options.filter((option) => !new RegExp(`${option}(?![\\w-])`).test(everywhere))).toEqual([])
  })
})

describe.each(documents)('%s', (path) => {
  const text = read(path)

  it('has no link that leads nowhere', () => {
    const anchors = (file: string): string[] =>
      [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!.toLowerCase().replaceAll(/[^\w -]/g, '').replaceAll(' ', '-'))
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)]
    const broken = links.filter(([, target = '', anchor]) => {
      const file = target === '' ? path : join(dirname(path), target)
      return !existsSync(join(root, file)) || (anchor !== undefined && !anchors(file).includes(anchor))
    })
    expect(broken.map(([link]) => link)).toEqual([])
  })

  it('imports what the library exports', () => {
    const entries: Record<string, object> = { tsnat: library, 'tsnat/wire': wire, 'tsnat/policy': policy, 'tsnat/sockets': sockets, 'tsnat/testing': testing }
    const imports = [...text.matchAll(/^import \{ (.+) \} from '(tsnat[\w/]*)'$/gm)]
    const missing = imports.flatMap(([, names, entry]) => names!.split(', ').filter((name) => !(name in (entries[entry!] ?? {}))))
    expect(missing).toEqual([])
  })

  it('names files that are there', () => {
    const named = [...text.matchAll(/`((?:src|test|native|bench|docs|examples|deploy|scripts)\/[\w./-]+\.\w+)`/g)].map(([, name]) => name!)
    expect(named.filter((name) => !existsSync(join(root, name)))).toEqual([])
  })
})
