/** Writes docs/nat-behaviour.md from the rows and the names of their tests. */
import { type Profile, type ProfileName, PROFILES } from '../../src/nat/profiles.js'
import type { RowTest } from './collect.js'
import { profileOf, type Row, SECTIONS } from './rows.js'

/** Text in a cell of a table. */
export const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('*', '\\*')
export const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

/** The tests of a row that tell what tsnat does: those on the whole pipeline, if there are any. */
const telling = (tests: readonly RowTest[]): readonly RowTest[] => {
  const whole = tests.filter(({ file }) => file.startsWith('test/conformance/'))
  return whole.length > 0 ? whole : tests
}

const line = (row: Row, all: readonly RowTest[]): string => {
  const tests = all.filter(({ ids }) => ids.includes(row.id))
  const told = [...new Set(telling(tests).map(({ text }) => cell(sentence(text))))]
  if (row.deviation !== undefined) told.push(`**${cell(row.deviation)}**`)
  const files = [...new Set(tests.map(({ file }) => file))].map((file) => `\`${file}\``)
  return `| ${row.id} | ${row.level} | ${profileOf(row)} | ${cell(sentence(row.title))} | ${told.join('<br>')} | ${files.join('<br>')} |`
}

const table = (rows: readonly Row[], tests: readonly RowTest[]): string[] => [
  '| Row | Level | Profile | Asked | What tsnat does | Tests |',
  '|---|---|---|---|---|---|',
  ...rows.map((row) => line(row, tests)),
]

const HEAD = `# NAT behaviour

Made by \`node scripts/nat-behaviour.mjs\` from the names of the tests; do not edit.

Row by row, what is asked of a gateway and what tsnat does, as its tests say it. **Level**: M must, MN must not, S should, SN should
not, O may (RFC 2119); L what users of netfilter expect; D a rule of tsnat's own. **Profile**: the one in which the row is asked and
tested. What stands in bold is not met, or not yet, with the reason. Angle brackets stand for each of several cases.`

/** Settings of a profile as `section.key` and text. */
const settingsOf = (profile: Profile): Map<string, string> => {
  const found = new Map<string, string>()
  const visit = (value: unknown, path: string): void => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const [key, below] of Object.entries(value)) visit(below, path === '' ? key : `${path}.${key}`)
    } else if (value === null || (Array.isArray(value) && value.length === 0)) found.set(path, 'none')
    else found.set(path, JSON.stringify(value).replaceAll('"', ''))
  }
  visit(profile, '')
  return found
}

/** The profiles side by side, what differs first. */
const profileTable = (): string[] => {
  const [behave, linux] = (['behave', 'linux'] satisfies ProfileName[]).map((name) => settingsOf(PROFILES[name])) as [Map<string, string>, Map<string, string>]
  const keys = [...behave.keys()]
  const differs = (key: string): boolean => behave.get(key) !== linux.get(key)
  const lines = [...keys.filter(differs), ...keys.filter((key) => !differs(key))]
  return [
    'Each setting can be set alone on top of its profile; [configuration.md](configuration.md) tells what they mean.',
    '',
    '| Setting | behave | linux |',
    '|---|---|---|',
    ...lines.map((key) => `| \`${key}\` | ${behave.get(key)} | ${differs(key) ? `**${linux.get(key)}**` : linux.get(key)} |`),
  ]
}

/** The whole document. @param sections what follows the rows */
export const renderDocument = (tests: readonly RowTest[], sections: readonly { title: string; lines: readonly string[] }[]): string =>
  [
    HEAD,
    ['## The two profiles', '', ...profileTable()].join('\n'),
    ...SECTIONS.map(({ title, rows }) => [`## ${title}`, '', ...table(rows, tests)].join('\n')),
    ...sections.map(({ title, lines }) => [`## ${title}`, '', ...lines].join('\n')),
  ].join('\n\n') + '\n'
