/** What rules cost through the whole data plane: flows that open, and packets of known ones. */
import { formatIpv4 } from '../../../src/stack/wire/address.js'
import { buildUdp } from '../../../src/testing/packets.js'
import type { Case } from './case.js'
import { ALL_OFFLOADS, gateway, list } from './gateway.js'

/** Flows that open, then close, in one call; of so many hosts inside. */
const FLOWS = 1024
const HOSTS = 64
const INSIDE = 0x0a000002
const REMOTE = 0xc6120000
/** Flow `index` meets one of `count` rules, each as often as any other. */
const ruleOf = (index: number, count: number): number => Math.imul(index, 7919) % count

/** Long chains of FORWARD as people have them, and where to a packet goes that meets rule number `index`. */
interface Shape {
  rule(index: number): string
  readonly address: (index: number) => number
  readonly port: (index: number) => number
}

const SHAPES = {
  'a host and a port': {
    rule: (index) => `-d ${formatIpv4(REMOTE + index)}/32 -p udp -m udp --dport ${1 + (index % 7)}`,
    address: (index) => REMOTE + index,
    port: (index) => 1 + (index % 7),
  },
  'a network, of ten prefix lengths': {
    rule: (index) => `-d ${formatIpv4(REMOTE + (index << 13))}/${19 + (index % 10)}`,
    address: (index) => REMOTE + (index << 13) + 9,
    port: () => 53,
  },
  'a network and a list of ports': {
    rule: (index) => `-d ${formatIpv4(REMOTE + index * 256)}/24 -p udp -m multiport --dports 53,443,${1000 + index}`,
    address: (index) => REMOTE + index * 256 + 9,
    port: () => 53,
  },
} as const satisfies Record<string, Shape>
export type OpenShape = keyof typeof SHAPES
export const OPEN_SHAPES = Object.keys(SHAPES) as OpenShape[]

const ESTABLISHED = '-m conntrack --ctstate RELATED,ESTABLISHED'
const accepting = (tests: readonly string[]): string =>
  ['*filter', ':FORWARD DROP [0:0]', ...tests.map((test) => `-A FORWARD ${test} -j ACCEPT`), 'COMMIT', ''].join('\n')
const chain = (shape: OpenShape, count: number): string[] => Array.from({ length: count }, (_, index) => SHAPES[shape].rule(index))

/** Datagrams of 46 bytes, one a flow. @param rules how many rules they meet, all alike */
const datagrams = (shape: OpenShape, flows: number, rules: number): Uint8Array[] => list(flows, (index) => {
  const { address, port } = SHAPES[shape]
  const rule = ruleOf(index, rules)
  return buildUdp({
    source: INSIDE + (index % HOSTS), destination: address(rule) | 0, sourcePort: 1024 + index, destinationPort: port(rule), df: true,
    payload: new Uint8Array(18),
  })
})

/**
 * Flows that open, each by a packet that goes through everything and out, and close.
 * @param count rules of FORWARD, the first of which lets pass what is established; 0 for none at all
 */
export const openWithRules = (shape: OpenShape, count: number): Case => {
  const packets = datagrams(shape, FLOWS, Math.max(10, count) - 1)
  const rules = count === 0 ? '' : accepting([ESTABLISHED, ...chain(shape, count - 1)])
  const { plane: { table }, pipeline, lanDevice, wanDevice } = gateway({ packets }, { packets: [packets[0]!] }, ALL_OFFLOADS, rules)
  const batches = FLOWS / lanDevice.perBatch
  const closeAll = (): void => {
    for (let flow = 0; flow < table.used; flow++) if (table.isLive(flow)) table.close(flow)
  }
  closeAll()
  return {
    name: `open and close a flow, ${count === 0 ? 'no rules' : `${count} rules, ${shape} each`}`,
    count: FLOWS,
    run: () => {
      const before = wanDevice.sent
      for (let batch = 0; batch < batches; batch++) pipeline.pump(pipeline.lan)
      if (table.count !== FLOWS || wanDevice.sent !== before + FLOWS) throw new Error('packets were dropped')
      closeAll()
    },
  }
}

/** Rules that packets of known flows are sent through, by what becomes of the outcome. */
const RULED = {
  'no rules': '',
  '10 rules, outcome stored': accepting([ESTABLISHED, ...chain('a host and a port', 9)]),
  '10,000 rules, outcome stored': accepting([ESTABLISHED, ...chain('a host and a port', 9999)]),
  'a rule for each packet, but of other flows': accepting(['-d 192.0.2.0/24 -m length --length 28:1000', ...chain('a host and a port', 9)]),
  'a rule for each packet (length)': accepting(['-m length --length 28:1000']),
  'a rule for each packet (length) behind 10,000 others': accepting([...chain('a host and a port', 9990).map((rule) => rule.replace('198.', '192.')), '-m length --length 28:1000']),
} as const
export type RuledFlows = keyof typeof RULED
export const RULED_FLOWS = Object.keys(RULED) as RuledFlows[]

/** Packets of 1024 known flows. */
export const hitWithRules = (kind: RuledFlows): Case => {
  const packets = datagrams('a host and a port', FLOWS, 9)
  const { pipeline, lanDevice, wanDevice } = gateway({ packets }, { packets: [packets[0]!] }, ALL_OFFLOADS, RULED[kind])
  const { perBatch } = lanDevice
  return {
    name: `UDP packet of a known flow, ${kind}`,
    count: perBatch,
    run: () => {
      const before = wanDevice.sent
      pipeline.pump(pipeline.lan)
      if (wanDevice.sent !== before + perBatch) throw new Error('packets were dropped')
    },
  }
}
