/**
 * coturn's NAT behaviour discovery (RFC 5780 4) from behind tsnat: mapping and filtering are found as they were configured.
 *
 * Mapping is found by asking the server at its first endpoint, then at the other address, then there at the other port.
 * Filtering is found by asking it to answer from its other endpoints. The program's verdict is checked, and the endpoints that
 * it prints on the way.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { DEPENDENCES, type Dependence } from '../../src/nat/behaviour.js'
import { startCoturn, STUN, STUN_ALTERNATE, STUN_ALTERNATE_PORT, STUN_PORT } from './coturn.js'
import { Bed, GATEWAY, output } from './support.js'

let bed: Bed

beforeAll(async () => {
  bed = await Bed.build(['turnserver', 'turnutils_natdiscovery', 'turnutils_stunclient'], { lan: 'inside' })
  await startCoturn(bed.lab, bed.server, 'eth0')
})
afterEach(async () => {
  await bed.stop()
})
afterAll(async () => {
  await bed.close()
})

const up = (mapping: string, filtering: string): Promise<void> => bed.up('--nat', `udp.mapping=${mapping}`, '--nat', `udp.filtering=${filtering}`)

/** @param port local one, of those that tsnat keeps */
const discover = (port: number, ...flags: string[]): Promise<string> =>
  output(bed.client, 'turnutils_natdiscovery', [...flags, '-p', String(STUN_PORT), '-L', bed.address, '-l', String(port), STUN])

/** One for each answer of a server: where it came from, and the outside endpoint that the server saw. */
interface Answer { from: string; mapped: string }
const answers = (text: string): Answer[] => text.split('RFC 5780 response').slice(1).map((part) => ({
  from: /Response origin: : ([\d.:]+)/.exec(part)![1]!,
  mapped: /reflexive addr: ([\d.:]+)/.exec(part)![1]!,
}))
const verdict = (text: string): string => (/NAT with (.*?) (?:Mapping|Filtering)!/.exec(text)?.[1] ?? text).toLowerCase().replaceAll(' ', '-')

const FIRST = `${STUN}:${STUN_PORT}`
const OTHER_PORT = `${STUN}:${STUN_ALTERNATE_PORT}`
const OTHER_ADDRESS = `${STUN_ALTERNATE}:${STUN_PORT}`
const OTHER_BOTH = `${STUN_ALTERNATE}:${STUN_ALTERNATE_PORT}`

/** What `-m` printed is of this mapping, whose first outside port is the inside one. */
const expectMapping = (text: string, port: number, expected: Dependence): void => {
  expect(verdict(text)).toBe(expected)
  expect(text).not.toContain('ALG detected')
  const seen = answers(text)
  const [first, second, third] = seen.map(({ mapped }) => mapped)
  for (const { mapped } of seen) expect(mapped).toMatch(`${GATEWAY}:`)
  expect(first).toBe(`${GATEWAY}:${port}`)
  if (expected === 'endpoint-independent') {
    expect(seen.map(({ from }) => from)).toEqual([FIRST, OTHER_ADDRESS])
    expect(second).toBe(first)
    return
  }
  expect(seen.map(({ from }) => from)).toEqual([FIRST, OTHER_ADDRESS, OTHER_BOTH])
  expect(second).not.toBe(first)
  if (expected === 'address-dependent') expect(third).toBe(second)
  else expect(new Set([first, second, third]).size).toBe(3)
}

const ADMITTED = {
  'endpoint-independent': [FIRST, OTHER_BOTH],
  'address-dependent': [FIRST, OTHER_PORT],
  'address-and-port-dependent': [FIRST],
}

/** What `-f` printed is of this filtering. */
const expectFiltering = (text: string, expected: Dependence): void => {
  expect(verdict(text)).toBe(expected)
  expect(answers(text).map(({ from }) => from)).toEqual(ADMITTED[expected])
  expect(new Set(answers(text).map(({ mapped }) => mapped)).size).toBe(1)
}

/** Whether `-H` saw its own request come back. */
const isHairpinned = (text: string): boolean => text.includes('Received a request')

const discoverAll = (): Promise<[mapping: string, filtering: string, hairpin: string]> =>
  Promise.all([discover(40_000, '-m'), discover(41_000, '-f'), discover(42_000, '-H')])

describe.each(DEPENDENCES)('mapping %s', (mapping) => {
  it.each(DEPENDENCES)('filtering %s: found as such, with hairpin', async (filtering) => {
    await up(mapping, filtering)
    const [mappingText, filteringText, hairpinText] = await discoverAll()
    expectMapping(mappingText, 40_000, mapping)
    expectFiltering(filteringText, filtering)
    expect(isHairpinned(hairpinText)).toBe(true)
  })
})

describe('shared ports', () => {
  it('look endpoint independent as long as the port can be kept; filtering is address and port dependent; no hairpin', async () => {
    await up('shared', 'endpoint-independent')
    const [mapping, filtering, hairpin] = await discoverAll()
    expectMapping(mapping, 40_000, 'endpoint-independent')
    expectFiltering(filtering, 'address-and-port-dependent')
    expect(isHairpinned(hairpin)).toBe(false)
  })

  it('NAT-2: look endpoint independent where the port cannot be kept, too: the one chosen first serves other remotes', async () => {
    await up('shared', 'endpoint-independent')
    // Ports below 36864 are the host's.
    expect(verdict(await discover(20_000, '-m'))).toBe('endpoint-independent')
  })

  it('NAT-6: look address and port dependent with fully random ports', async () => {
    await bed.up('--profile', 'linux', '--nat', 'ports.selection=fully-random')
    // Two, as the same port may be drawn towards two servers by chance.
    const verdicts = (await Promise.all([discover(20_000, '-m'), discover(21_000, '-m')])).map(verdict)
    expect(verdicts).toContain('address-and-port-dependent')
  })
})

describe('the defaults', () => {
  it('are endpoint independent mapping and address dependent filtering, where the port cannot be kept, too', async () => {
    await bed.up()
    const [mapping, filtering] = await Promise.all([discover(20_000, '-m'), discover(21_000, '-f')])
    expect(verdict(mapping)).toBe('endpoint-independent')
    expectFiltering(filtering, 'address-dependent')
  })

  it('hold for datagrams in fragments', async () => {
    await bed.up()
    expectMapping(await discover(40_000, '-m', '-P'), 40_000, 'endpoint-independent')
  })

  it('a mapping lives on without packets, and answers asked for from another port reach it', async () => {
    await bed.up()
    const text = await discover(40_000, '-t', '-T', '2')
    expect(text).not.toContain('timeout')
    expect(answers(text).map(({ from }) => from)).toEqual([FIRST, FIRST])
  })

  it('two inside hosts with one port have two outside ports', async () => {
    await bed.up()
    const second = bed.address.replace(/\d+$/, '200')
    await bed.client.address('tun0', `${second}/32`)
    const [one, other] = answers(await discover(40_000, '-c', '-A', second))
    expect(one!.mapped).toBe(`${GATEWAY}:40000`)
    expect(other!.mapped).not.toBe(one!.mapped)
  })
})
