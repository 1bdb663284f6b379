/** The words of ipset beside the program itself and the kernel: the same commands, the same sets. */
import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TsnatError } from '../../src/errors.js'
import { type IpsetContext, NO_SETS, runIpset, type SetsState } from '../../src/policy/ipset/index.js'
import { Lab, type LabNamespace } from '../../src/testing/lab/index.js'

const isThere = spawnSync('unshare', ['-n', 'ipset', 'list']).status === 0
const context: IpsetContext = { now: 1_000_000, random: () => 0x12345678, referencesOf: () => 0 }

let lab: Lab
let namespace: LabNamespace
beforeEach(async () => {
  lab = await Lab.create('ipset')
  namespace = await lab.namespace('sets')
})
afterEach(async () => {
  await lab.close()
})

const kernel = async (argv: readonly string[], input?: string): Promise<{ code: number; stdout: string; stderr: string }> => {
  const { code, stdout, stderr } = await namespace.run('ipset', [...argv], input === undefined ? {} : { input })
  return { code: code ?? -1, stdout, stderr }
}

/** Makes the kernel's sets those that a file has. */
const replaceKernel = async (saved: string): Promise<void> => {
  await kernel(['flush'])
  expect((await kernel(['destroy'])).stderr).toBe('')
  expect((await kernel(['restore'], saved)).stderr).toBe('')
}

let state: SetsState
const own = (argv: readonly string[]): { code: number; stdout: string } => {
  try {
    const result = runIpset(state, argv, context)
    state = result.state
    return { code: result.exitCode, stdout: result.output }
  } catch (error) {
    if (!(error instanceof TsnatError)) throw error
    return { code: 1, stdout: '' }
  }
}

/** Saved sets without what is by chance: the order of elements, the seed, the size of the index; timeouts run on. */
const essence = (saved: string): string[] => saved.split('\n').map((line) => line
  .replace(/ initval 0x[\da-f]{8}/, '').replace(/ hashsize \d+/, '').replace(/ forceadd/, '').replace(/( timeout )(\d+)/, (_, word: string, seconds: string) =>
    `${word}${line.startsWith('add') && Number(seconds) > 0 ? 'T' : seconds}`)).sort()

const address = fc.tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 0, max: 9 })).map(([net, host]) => `10.0.${net}.${host}`)
const network = fc.tuple(address, fc.constantFrom('', '/32', '/31', '/30', '/24', '/16', '/1')).map(([at, length]) => at + length)
/** The kernel would try each address of a larger one. */
const small = fc.tuple(address, fc.constantFrom('', '/32', '/31', '/24')).map(([at, length]) => at + length)
const range = fc.tuple(address, address).map(([from, to]) => `${from}-${to}`)
/** With a netmask, the kernel does not mask the beginning of a range whose end comes first. */
const upwards = fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 20 })).map(([from, more]) => `10.0.0.${from}-10.0.0.${from + more}`)
const port = fc.constantFrom('80', 'udp:80', 'tcp:79-81', 'icmp:echo-request', 'icmp:3/4', 'icmp:77/1', 'gre:0', 'gre:1', 'sctp:http', 'udplite:5', '99:0', 'vrrp:0', 'tcp:70000', 'domain')
const device = fc.constantFrom('eth0', 'eth1', 'eth', 'e', 'physdev:eth0', 'lo')
const flags = fc.tuple(fc.constantFrom('', 'nomatch'), fc.constantFrom('', 'wildcard')).map((words) => words.filter((word) => word !== ''))

/** Name and options of each set, and its elements. */
const SETS = {
  a: [['hash:ip'], fc.oneof(address, small, range, fc.constantFrom('0.0.0.0', 'x'))],
  b: [['hash:ip', 'netmask', '30', 'maxelem', '4', 'counters'], fc.oneof(address, upwards)],
  c: [['hash:net', 'timeout', '1000', 'comment'], fc.oneof(network, range, fc.constant('0.0.0.0/0'))],
  d: [['hash:ip,port', 'counters'], fc.tuple(fc.oneof(address, fc.constant('10.0.0.0/30')), port).map((parts) => parts.join(','))],
  e: [['hash:net,iface'], fc.tuple(fc.oneof(network, fc.constant('0.0.0.0/0')), device).map((parts) => parts.join(','))],
  f: [['hash:net', 'counters', 'timeout', '0'], network],
  g: [['hash:ip', 'bitmask', '255.255.0.255'], address],
  l: [['list:set', 'counters'], fc.constantFrom('a', 'b', 'e', 'l', 'zz')],
} as const satisfies Record<string, readonly [readonly string[], fc.Arbitrary<string>]>
type Name = keyof typeof SETS
const NAMES = Object.keys(SETS) as Name[]

const options: Readonly<Record<Name, fc.Arbitrary<readonly string[]>>> = {
  a: fc.constantFrom([], [], ['timeout', '5'], ['nomatch']),
  b: fc.constantFrom([], ['packets', '5'], ['packets', '7', 'bytes', '0x10']),
  c: fc.constantFrom([], ['timeout', '500'], ['timeout', '0'], ['comment', 'two words'], ['nomatch', 'comment', '']),
  d: fc.constantFrom([], ['bytes', '9']),
  e: flags,
  f: fc.constantFrom([], ['nomatch'], ['timeout', '300', 'packets', '1']),
  g: fc.constant([]),
  l: fc.constantFrom([], [], ['before', 'a'], ['after', 'a'], ['before', 'b', 'packets', '3']),
}

/** A test of several addresses means the first of them to ipset; here it is an error. */
const isSound = (argv: readonly string[]): boolean => !(argv[0] === 'test' && 'ab'.includes(argv[1]!) && /[-/]/.test(argv[2]!))

const elementCommand = fc.constantFrom(...NAMES).chain((name) => fc.tuple(
  fc.constantFrom('add', 'add', 'add', 'del', 'test'), SETS[name][1], options[name], fc.constantFrom([], ['-exist']),
).map(([verb, element, rest, exist]) => {
  const taken = verb === 'add' ? rest : rest.filter((word, index) => ['nomatch'].includes(word) && verb === 'test' || (name === 'l' && index < 2 && ['before', 'after', 'a', 'b'].includes(word)))
  return [verb, name, element, ...taken, ...exist]
}).filter(isSound))
/** Sets with masks stay where they are: the kernel takes ranges for them in a way of its own. */
const MOVABLE = [...NAMES.filter((name) => name !== 'b' && name !== 'g'), 'q']
const setCommand = fc.oneof(
  fc.tuple(fc.constantFrom('swap', 'rename'), fc.constantFrom(...MOVABLE), fc.constantFrom(...MOVABLE)).map((words) => [...words]),
  fc.tuple(fc.constantFrom('flush', 'destroy'), fc.constantFrom(...NAMES, 'q')).map((words) => [...words]),
  fc.constantFrom(...NAMES).map((name) => ['create', name, ...SETS[name][0], '-exist']),
)
const commands = fc.array(fc.oneof({ weight: 12, arbitrary: elementCommand }, { weight: 1, arbitrary: setCommand }), { minLength: 30, maxLength: 60 })

const mayBeMany = ([verb, , element]: readonly string[]): boolean => (verb === 'add' || verb === 'del') && /[-/]/.test(element ?? '')

describe.skipIf(!isThere && process.env['CI'] !== 'true')('the words of ipset', () => {
  it('do to sets what ipset and the kernel do, command by command', async () => {
    await fc.assert(fc.asyncProperty(commands, async (list) => {
      state = NO_SETS
      await replaceKernel('')
      const creations = NAMES.map((name) => ['create', name, ...SETS[name][0]])
      for (const argv of [...creations, ...list]) {
        const there = await kernel(argv)
        const here = own(argv)
        const told = `${argv.join(' ')}\n${there.stderr}`
        expect(here.code, told).toBe(Math.min(1, there.code))
        // The kernel leaves those elements of a range in the set that it added before it failed.
        if (there.code !== 0 && mayBeMany(argv)) await replaceKernel(own(['save']).stdout)
        else if (argv[0] !== 'test') expect(essence(own(['save']).stdout), told).toEqual(essence((await kernel(['save'])).stdout))
      }
    }), { numRuns: 8, endOnFailure: true })
  })

  it('are printed so that ipset restores them, and those that ipset prints are restored here', async () => {
    state = NO_SETS
    const lines = [
      'create n hash:net timeout 600 counters comment', 'add n 10.0.0.0/8 nomatch packets 5 bytes 6 comment "two words"', 'add n 10.1.0.0/16 timeout 0',
      'create i hash:net,iface', 'add i 0.0.0.0/0,eth wildcard', 'add i 1.2.3.4,physdev:eth1 nomatch', 'create p hash:ip,port netmask 24', 'add p 1.2.3.4,icmp:8/0',
      'create l list:set', 'add l p', 'add l n before p',
    ].join('\n')
    state = runIpset(NO_SETS, ['restore'], context, { text: lines, name: 'rules.ipset' }).state
    const saved = own(['save']).stdout
    await replaceKernel(saved)
    const back = (await kernel(['save'])).stdout
    expect(essence(back)).toEqual(essence(saved))
    const again = runIpset(NO_SETS, ['restore'], context, { text: back, name: 'saved' }).state
    expect(essence(runIpset(again, ['save'], context).output)).toEqual(essence(back))
  })

  it('have the layout of ipset', async () => {
    state = NO_SETS
    for (const argv of [['create', 'a', 'hash:ip', 'timeout', '9', 'initval', '5'], ['create', 'l', 'list:set'], ['add', 'l', 'a'], ['add', 'a', '1.2.3.4', 'timeout', '0']]) {
      expect((await kernel(argv)).code).toBe(0)
      own(argv)
    }
    const plain = (text: string): string => text.replaceAll(/Size in memory: \d+/g, 'Size in memory: ?')
    for (const argv of [['list'], ['list', '-t'], ['list', '-n'], ['-t', 'list', 'a'], ['list', 'l'], ['save', 'a'], ['list', '-o', 'save']]) {
      expect(plain(own(argv).stdout)).toBe(plain((await kernel(argv)).stdout))
    }
  })
})
