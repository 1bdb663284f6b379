/** The words of `ip` beside the real `ip` on a real kernel: the same commands to both, the same answers from both. */
import { spawnSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { initialState, runIp, runIpBatch } from '../../src/policy/iproute/index.js'
import type { IpOutcome, IpState } from '../../src/policy/iproute/index.js'
import type { Device } from '../../src/route/connected.js'
import { parsePrefix } from '../../src/stack/wire/address.js'
import { seededRandom } from '../../src/testing/memory-gateway.js'
import { TestNamespace } from './host-support.js'

const own = (text: string, primary = true) => {
  const { address, length } = parsePrefix(text)!
  return { address, prefixLength: length, primary }
}

const devices: Device[] = [
  { number: 1, name: 'lo', up: true, addresses: [own('127.0.0.1/8')] },
  { number: 2, name: 'eth0', up: true, addresses: [own('10.0.0.1/24'), own('10.0.0.9/24', false), own('1.2.3.56/24')] },
  { number: 3, name: 'eth1', up: true, addresses: [own('10.1.0.1/24')] },
  { number: 4, name: 'eth2', up: true, addresses: [own('192.168.7.1/24')] },
  { number: 5, name: 'eth3', up: true, addresses: [] },
]
const interfaces = devices.slice(1).map(({ name }) => name)

/** A namespace as `devices` says, with no routes or rules but the kernel's own. */
const makeHost = (): TestNamespace => {
  const made = new TestNamespace()
  for (const name of interfaces) {
    made.script(`ip link add ${name} type veth peer name p${name}`, `ip link set p${name} up`, `ip link set ${name} up`, `sysctl -qw net.ipv4.conf.${name}.rp_filter=0`)
  }
  made.script(
    'ip addr add 10.0.0.1/24 dev eth0', 'ip addr add 10.0.0.9/24 dev eth0', 'ip addr add 1.2.3.56/24 dev eth0', 'ip addr add 10.1.0.1/24 dev eth1',
    'ip addr add 192.168.7.1/24 dev eth2', 'sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0',
  )
  return made
}

let host: TestNamespace
beforeEach(() => {
  host = makeHost()
})
afterEach(() => {
  host.remove()
})

interface Answer {
  output: string
  /** By the number of the line that failed. */
  failed: Map<number, string>
}

/** Gives a file to the real `ip`. */
const kernelBatch = (text: string, ...options: string[]): Answer => {
  const { stdout, stderr } = spawnSync('ip', ['-n', host.name, '-4', '-force', ...options, '-batch', '-'], { input: text, encoding: 'utf8' })
  const failed = new Map<number, string>()
  let message = ''
  for (const line of stderr.split('\n')) {
    const end = /^Command failed -:(\d+)$/.exec(line)
    if (end === null) message += line
    else {
      failed.set(Number(end[1]), message)
      message = ''
    }
  }
  return { output: stdout, failed }
}

const answerOf = ({ output, errors }: IpOutcome): Answer => ({ output, failed: new Map(errors.map((error) => [error.word!.line, error.message])) })

const kernelOutput = (...args: string[]): string => {
  const { stdout } = spawnSync('ip', ['-n', host.name, '-4', ...args], { encoding: 'utf8' })
  return stdout
}

/** Listings that have to be equal. */
const listings = [
  ['route', 'show', 'table', 'all'], ['-d', 'route', 'show', 'table', 'all'], ['-j', 'route', 'show', 'table', 'all'], ['-N', 'route', 'show'], ['route', 'show', 'dev', 'eth0'],
  ['route', 'show', 'root', '10.0.0.0/8'], ['route', 'show', 'match', '10.20.0.1'], ['route', 'list', '10.20.0.0/16'], ['route', 'show', 'scope', 'link'],
  ['route', 'show', 'via', '10.0.0.254'], ['route', 'show', 'proto', 'static', 'table', 'all'], ['route', 'show', 'type', 'unicast'], ['-o', 'route'], ['-j', '-p', 'route'],
  ['rule'], ['-d', 'rule'], ['-j', 'rule'], ['-j', '-p', 'rule'], ['rule', 'show', 'table', '100'], ['rule', 'show', 'from', '192.168.0.0/16'], ['rule', 'list', 'iif', 'eth0'], ['rule', 'list', 'pref', '32766'],
]

const expectSameListings = (state: IpState): void => {
  for (const words of listings) expect(`${words.join(' ')}\n${runIp(state, words).output}`).toBe(`${words.join(' ')}\n${kernelOutput(...words)}`)
}

describe('commands of documents', () => {
  it('does what "ip" does, and says the same', () => {
    const text = [
      'route add 0.0.0.0/0 via 10.0.0.254 src 10.0.0.1',
      'rule add fwmark 100 table 100',
      'ro add 0.0.0.0/0 via 10.1.0.254 src 10.1.0.1 table 100',
      'rule add fwmark 0x2333/0x2333 pref 100 table 200',
      'route add local default dev lo table 200',
      'route add 1.1.1.1 via 1.2.3.4 dev eth0',
      'route add blackhole 6/8',
      'route add unreachable 6.2/16',
      'route add prohibit 6.3/16 metric 5',
      'route add throw 6.4.0.0/255.255.0.0 table 100',
      'route add 7.0.0.0/8 dev eth0 metric 5 mtu lock 1400',
      'route add 7.0.0.0/8 dev eth1 metric 4',
      'route add 7.0.0.0/8 dev eth1 tos 0x10',
      'route append 7.0.0.0/8 dev eth0 metric 4',
      'route prepend 7.0.0.0/8 dev eth2 metric 4 proto static',
      'route append 7.0.0.0/8 dev eth0 metric 4',
      'route change 7.0.0.0/8 dev eth3 metric 4',
      'route replace 7.0.0.0/8 dev eth3 metric 9 scope 5 proto 77',
      'route change 7.0.0.0/9 dev eth3',
      'route test 7.0.0.0/8 dev eth3',
      'route add 9.0.0.0/8 nexthop via 10.0.0.254 onlink dev eth1 weight 3 nexthop dev eth0',
      'route add 9.0.0.0/8 via 10.0.0.254 nexthop dev eth0',
      'route add 8.0.0.0/8 dev eth1 scope host',
      'route add 8.0.0.0/8 via 10.0.0.254 scope link',
      'route add 8.0.0.0/8 via 10.0.0.254 dev eth1',
      'route add 8.0.0.0/8 via 10.0.0.254 tos 3',
      'route add 8.1.0.0/8 via 10.0.0.254',
      'route add 8.1.0.0/16 via 10.0.0.255',
      'route add 8.1.0.0/16 via 4.4.4.4 onlink',
      'route add 8.1.0.0/16 via 10.0.0.254 src 7.7.7.7',
      'route add broadcast 8.2.0.0/16 dev eth0',
      'route add local 5.5.5.5',
      'route add 5.5.5.5',
      'route add blackhole 5.5.5.5 dev eth0',
      'route add unicast default via 10.0.0.254 dsfield 0xb8',
      'route add 5.5.5.5 via 10.0.0.254 mtu 65535',
      'route del 7/8 dev eth2',
      'route del 7/8 dev eth9',
      'route del 7/8 metric 5',
      'route del 99/8',
      'rule add from 192.168.0.0/16 to 1.1.1.1 iif eth0 oif eth1 fwmark 0x1/0xff tos 0x10 ipproto tcp sport 1000-2000 dport 80 lookup 5000 pref 100',
      'rule add not from 10.1.2.3/8 pref 99 blackhole',
      'rule add pref 96 goto 100',
      'rule add pref 95 goto 150',
      'rule add pref 94 goto 50',
      'rule add pref 93 nop',
      'rule add pref 92 lookup main suppress_prefixlength 0',
      'rule add iif nope table 100',
      'rule add oif nope table 100 protocol bgp',
      'rule add dsfield 0xb8 table 9',
      'rule add tos 3 table 9',
      'rule add ipproto 47 table 9',
      'rule add table 9',
      'rule add table 9',
      'rule add order 92 lookup main suppress_prefixlength 0',
      'rule del iif nope',
      'rule del pref 12345',
      'rule add unreachable',
      'rule add prio 101 prohibit',
    ].join('\n')
    const outcome = runIpBatch(initialState(devices), text, { force: true })
    const kernel = kernelBatch(text)
    const failed = new Map(answerOf(outcome).failed)
    // A device that is not there, with the hint of another; and one that iproute2 words otherwise.
    expect(failed.get(22)).toMatch(/belong behind "nexthop"/)
    expect(kernel.failed.get(22)).toMatch(/does not match/)
    failed.delete(22)
    kernel.failed.delete(22)
    expect(failed).toEqual(kernel.failed)
    expectSameListings(outcome.state)
  })
})

let random = seededRandom(0)
const pick = <T>(values: readonly T[]): T => values[random.next() % values.length]!
const maybe = (text: () => string, oneIn = 3): string => (random.next() % oneIn === 0 ? ` ${text()}` : '')

const prefixes = ['default', '10.0.0.0/8', '10.20.0.0/16', '10.20.3.0/24', '10.20.3.4', '10.20.0.0/15', '192.168.7.128/25', '1.2.3.0/25', '99.0.0.0/8', '99.1.0.0/16', '0.0.0.0/1', '128.0.0.0/1']
const gateways = ['10.0.0.254', '10.0.0.253', '10.1.0.254', '1.2.3.4', '192.168.7.9', '99.9.9.9', '10.20.3.4']
const routeTables = ['main', '100', '100', '200', '4242', 'local']
const addresses = ['10.20.3.4', '10.20.3.5', '10.20.9.9', '10.21.0.1', '10.99.0.1', '192.168.7.200', '192.168.7.2', '1.2.3.77', '1.2.3.200', '99.1.2.3', '99.9.9.9', '8.8.8.8', '200.1.1.1', '10.0.0.1', '10.0.0.254']

const hop = (): string => `nexthop via ${pick(gateways)}${maybe(() => `dev ${pick(interfaces)}`)}${maybe(() => `weight ${1 + (random.next() % 5)}`)}${maybe(() => 'onlink', 6)}`

const routeCommand = (): string => {
  const prefix = pick(prefixes)
  const common = `${prefix}${maybe(() => `table ${pick(routeTables)}`, 1)}${maybe(() => `metric ${random.next() % 4}`)}${maybe(() => `tos ${pick(['0x10', '0x08', '0x04'])}`, 5)}`
  if (random.next() % 6 === 0) return `route del ${common}${maybe(() => `dev ${pick(interfaces)}`)}`
  // Several default routes of one metric are chosen from by the kernel's own look at its neighbours.
  const verb = prefix === 'default' ? pick(['add', 'replace', 'change']) : pick(['add', 'add', 'add', 'replace', 'change', 'append', 'prepend'])
  const rest = maybe(() => `proto ${pick(['static', 'bgp'])}`, 4) + maybe(() => `mtu ${pick(['1400', 'lock 1300'])}`, 5)
  switch (random.next() % 8) {
    case 0: return `route ${verb} ${pick(['blackhole', 'unreachable', 'prohibit', 'throw', 'throw'])} ${common}${rest}`
    case 1: return `route ${verb} ${common} ${hop()} ${hop()}${maybe(hop, 2)}`
    case 2: return `route ${verb} ${common} dev ${pick(interfaces)}${rest}${maybe(() => 'scope link', 6)}`
    case 3: return `route ${verb} local ${common} dev ${pick(['lo', ...interfaces])}`
    case 4: return `route ${verb} ${common} via ${pick(gateways)} dev ${pick(interfaces)} onlink${rest}`
    default: return `route ${verb} ${common} via ${pick(gateways)}${maybe(() => `dev ${pick(interfaces)}`)}${maybe(() => `src ${pick(['10.0.0.1', '10.0.0.9', '10.1.0.1', '7.7.7.7'])}`, 4)}${rest}`
  }
}

const ruleCommand = (): string => {
  if (random.next() % 6 === 0) return `rule del${maybe(() => `pref ${random.next() % 20}`, 2)}${maybe(() => `table ${pick(routeTables)}`, 2)}${maybe(() => `fwmark ${random.next() % 3}`)} from all`
  const selectors = maybe(() => 'not', 6) + maybe(() => `from ${pick(['192.168.7.0/24', '10.0.0.1', '10.0.0.0/8'])}`) + maybe(() => `to ${pick(['99.0.0.0/8', '10.20.3.4', '8.8.8.8'])}`, 4)
    + maybe(() => `iif ${pick([...interfaces, 'lo', 'nope'])}`, 4) + maybe(() => `oif ${pick(interfaces)}`, 6) + maybe(() => `fwmark ${pick(['1', '2', '1/1', '0/2', '0x10/0xf0'])}`)
    + maybe(() => `tos ${pick(['0x10', '0x08'])}`, 6) + maybe(() => `ipproto ${pick(['tcp', 'udp', 'icmp'])}`, 5) + maybe(() => `sport ${pick(['1-1000', '53'])}`, 8) + maybe(() => `dport ${pick(['80', '50-90'])}`, 6)
  const preference = random.next() % 20
  const action = pick([
    `lookup ${pick(routeTables)}`, `lookup ${pick(routeTables)}`, `lookup ${pick(routeTables)} suppress_prefixlength ${pick(['0', '8', '16'])}`, 'blackhole', 'unreachable', 'prohibit',
    `goto ${preference + (random.next() % 8)}`, 'nop',
  ])
  return `rule add${selectors} pref ${preference} ${action}`
}

const question = (): string => `route get ${pick(addresses)}${maybe(() => pick([`from ${pick(['192.168.7.77', '10.0.0.77', '10.20.3.4', '10.0.0.9'])} iif ${pick(interfaces)}`, `from ${pick(['10.0.0.9', '10.1.0.1', '9.9.9.9'])}`, `oif ${pick(interfaces)}`]), 2)}`
  + `${maybe(() => `mark ${pick(['1', '2', '3', '0x10'])}`, 2)}${maybe(() => `tos ${pick(['0x10', '0x08', '0xb8'])}`, 4)}${maybe(() => `ipproto ${pick(['tcp', 'udp'])} sport ${pick(['53', '999', '5000'])} dport ${pick(['80', '51', '443'])}`, 2)}`

/** For a destination that is taken to be on the link since it was asked so, the kernel prints the TOS of a route that it gave up. */
const withoutAssumed = (line: string): string => (line.includes(' oif ') ? line.replace(/(: \S+) tos \S+/, '$1') : line)

/** What does not depend on the choice among several next hops, and on the ICMP redirects that the kernel would send. */
const withoutChoice = (line: string): string => line.replace(/ (via|dev|src) \S+/g, '').replace('<redirect> ', '')
const withoutRedirect = (line: string): string => line.replace('<redirect> ', '')

describe('generated rules and routes', () => {
  it.each(Array.from({ length: Number(process.env['TSNAT_ROUNDS'] ?? 8) }, (_, round) => round))('leads every packet where the kernel does (%d)', (round) => {
    random = seededRandom(round)
    const commands = Array.from({ length: 60 }, () => (random.next() % 3 === 0 ? ruleCommand() : routeCommand()))
    // With rules of the user's own the kernel keeps the tables local and main apart.
    const text = ['rule add pref 33000 lookup 4242', ...commands].join('\n')
    const outcome = runIpBatch(initialState(devices), text, { force: true })
    const { failed } = kernelBatch(text)
    const named = (lines: Map<number, string>): string[] => [...lines].map(([line, message]) => `${text.split('\n')[line - 1]!}: ${message}`)
    expect(named(answerOf(outcome).failed)).toEqual(named(failed))
    expectSameListings(outcome.state)

    const several = new Set([...outcome.state.tables.values()].flatMap((map) => [...map.sorted()].flatMap(({ routes }) => routes.filter(({ hops }) => hops.length > 1).flatMap(({ hops }) =>
      hops.map(({ device }) => `dev ${devices.find(({ number }) => number === device)!.name}`)))))
    const questions = Array.from({ length: 60 }, question)
    const ours = answerOf(runIpBatch(outcome.state, questions.join('\n'), { force: true }))
    const kernels = kernelBatch(questions.join('\n'))
    const lines = (answer: Answer): string[] => {
      const outputs = answer.output.replaceAll('\n    cache', '\\    cache').split('\n')
      return questions.map((asked, index) => `${asked}: ${answer.failed.get(index + 1) ?? outputs.shift()!}`)
    }
    const expected = lines(kernels)
    lines(ours).forEach((line, index) => {
      const wanted = expected[index]!
      if (withoutAssumed(line) === withoutAssumed(withoutRedirect(wanted))) return
      const way = /dev \S+/.exec(wanted.split(': ')[1] ?? '')?.[0]
      if (way !== undefined && several.has(way)) expect(withoutChoice(line)).toBe(withoutChoice(wanted))
      else expect(line).toBe(wanted)
    })
  })
})
