/** Writes docs/socket-behaviour.md from the rows and the names of their tests. */
import { DEFAULT_SETTINGS, type TcpSettings } from '../../src/stack/sockets/tcp/settings.js'
import type { RowTest } from './collect.js'
import { cell, sentence } from './document.js'
import type { Row } from './rows.js'
import { SOCKET_SECTIONS } from './socket-rows.js'

/** Folders of tests that tell what sockets do; others carry ids of the same name for the NAT. */
const FOLDERS = ['test/stack/', 'test/netns/', 'test/fuzz/stack', 'test/property/stack']

/** What tests say, those of a group together. */
const toldOf = (tests: readonly RowTest[]): string[] => {
  const groups = new Map<string, Set<string>>()
  for (const { group, text } of tests) {
    const texts = groups.get(group) ?? new Set()
    groups.set(group, texts.add(text))
  }
  return [...groups].map(([group, texts]) => cell(`${sentence(group)}: ${[...texts].join('; ')}.`))
}

const line = (row: Row, all: readonly RowTest[]): string => {
  const tests = all.filter(({ ids, file }) => ids.includes(row.id) && FOLDERS.some((folder) => file.startsWith(folder)))
  const told = toldOf(tests)
  if (row.deviation !== undefined) told.push(`**${cell(row.deviation)}**`)
  const files = [...new Set(tests.map(({ file }) => file))].map((file) => `\`${file}\``)
  return `| ${row.id} | ${row.level} | ${cell(sentence(row.title))} | ${told.join('<br>')} | ${files.join('<br>')} |`
}

const HEAD = `# Behaviour of tsnat's own sockets

Made by \`node scripts/nat-behaviour.mjs\` from the names of the tests; do not edit.

Row by row, what is asked of TCP and of ephemeral ports, and what tsnat's own sockets do, as their tests say it. **Level**: M must,
MN must not, S should, SN should not, O may (RFC 2119); D a rule of tsnat's own. What stands in bold is not met, with the reason.
Angle brackets stand for each of several cases.`

const seconds = (value: number): string => (value < 1000 ? `${value} ms` : `${value / 1000} s`)
const bytes = (value: number): string => (value % (1 << 20) === 0 ? `${value >> 20} MiB` : `${value >> 10} KiB`)
const plain = (value: string | number | boolean): string => String(value)

interface Choice {
  readonly key: keyof TcpSettings
  readonly what: string
  /** What RFCs and other systems say. */
  readonly others: string
}

/** Where sources disagree, or leave a choice. */
const CHOICES: readonly Choice[] = [
  { key: 'timeWait', what: 'TIME_WAIT lasts', others: 'RFC 9293: 240 s; Linux: 60 s' },
  { key: 'timeWaitMax', what: 'connections in TIME_WAIT, at most', others: 'Linux: 16384 or more, by memory' },
  { key: 'ignoreTimeWaitResets', what: 'TIME_WAIT ignores RST', others: 'RFC 9293 and Linux: no; RFC 1337: yes' },
  { key: 'congestion', what: 'congestion control', others: 'RFC 5681: NewReno; RFC 9438 and Linux: CUBIC' },
  { key: 'initialRto', what: 'retransmission time-out before the first sample', others: 'RFC 6298: 1 s' },
  { key: 'minRto', what: 'retransmission time-out, at least', others: 'RFC 6298: 1 s; Linux: 200 ms' },
  { key: 'connectTimeout', what: 'a SYN is given up after', others: 'RFC 9293: 180 s or more; Linux: about 127 s' },
  { key: 'retryTimeout', what: 'data is given up after', others: 'RFC 9293: 100 s or more; Linux: about 15 min' },
  { key: 'delayedAck', what: 'an ACK waits for', others: 'RFC 9293: less than 500 ms; Linux: 40 ms to 200 ms' },
  { key: 'finWait', what: 'FIN_WAIT_2 of a closed connection lasts', others: 'RFC 9293: for ever; Linux: 60 s' },
  { key: 'keepAliveIdle', what: 'keepalive, where asked for, begins after', others: 'RFC 9293: 2 h or more; Linux: 2 h' },
  { key: 'keepAliveInterval', what: 'its probes follow each other after', others: 'Linux: 75 s' },
  { key: 'keepAliveProbes', what: 'probes without an answer that end a connection', others: 'Linux: 9' },
  { key: 'receiveBuffer', what: 'window, at first', others: 'Linux: 128 KiB' },
  { key: 'receiveBufferMax', what: 'window, at most', others: 'Linux: 6 MiB' },
  { key: 'backlog', what: 'connections of a listener that are being opened', others: 'Node: 511' },
]

const TIMES: readonly (keyof TcpSettings)[] = ['timeWait', 'initialRto', 'minRto', 'connectTimeout', 'retryTimeout', 'delayedAck', 'finWait', 'keepAliveIdle', 'keepAliveInterval']
const SIZES: readonly (keyof TcpSettings)[] = ['receiveBuffer', 'receiveBufferMax']

const valueOf = (key: keyof TcpSettings): string => {
  const value = DEFAULT_SETTINGS[key]
  if (typeof value !== 'number') return value === true ? 'yes' : value === false ? 'no' : plain(value)
  return TIMES.includes(key) ? seconds(value) : SIZES.includes(key) ? bytes(value) : plain(value)
}

/** The whole document. */
export const renderSocketDocument = (tests: readonly RowTest[]): string =>
  [
    HEAD,
    [
      '## Where there is a choice', '',
      'Each can be set when a stack is made, under its name in `TcpSettings`.', '',
      '| Setting | What | tsnat | Others |',
      '|---|---|---|---|',
      ...CHOICES.map(({ key, what, others }) => `| \`${key}\` | ${cell(sentence(what))} | ${valueOf(key)} | ${cell(others)} |`),
    ].join('\n'),
    ...SOCKET_SECTIONS.map(({ title, rows }) =>
      [`## ${title}`, '', '| Row | Level | Asked | What tsnat does | Tests |', '|---|---|---|---|---|', ...rows.map((row) => line(row, tests))].join('\n'),
    ),
  ].join('\n\n') + '\n'
