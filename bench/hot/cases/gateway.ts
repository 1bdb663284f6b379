/** A whole data plane between devices that replay packets. */
import { DataPlane } from '../../../src/data-plane.js'
import { allocateFlowTable } from '../../../src/nat/flow-table.js'
import { emptyRuleset, restoreRuleset } from '../../../src/policy/iptables/index.js'
import { ruleMessages } from '../../../src/policy-protocol.js'
import type { Slab } from '../../../src/stack/batch.js'
import type { Offloads } from '../../../src/stack/device/device.js'
import * as vnet from '../../../src/stack/wire/vnet.js'
import { allocateStats, dropsByName } from '../../../src/stats.js'
import { behaviourOf, mainTable, seededRandom } from '../../../src/testing/memory-gateway.js'
import type { WanSettings } from '../../../src/worker-protocol.js'
import { ReplayDevice } from './replay-device.js'

export const WAN = 0xcb007101 | 0
/** Milliseconds on the clock, which stands still. */
const NOW = 1_000_000
export const ALL_OFFLOADS: Offloads = { checksum: true, tcp: true, udp: true }
export const NO_VNET = new Uint8Array(vnet.LENGTH)

export interface Traffic {
  readonly packets: readonly Uint8Array[]
  readonly header?: Uint8Array
}

/** `count` packets, each built for its number. */
export const list = (count: number, build: (index: number) => Uint8Array): Uint8Array[] => Array.from({ length: count }, (_, index) => build(index))

/**
 * A gateway whose LAN and WAN deliver the traffic given. The LAN's opens the flows.
 * @param rules as iptables-save has them; none by default
 * @throws Error when a packet was dropped
 */
export const gateway = (lan: Traffic, wan: Traffic, offloads: Offloads, rules = '') => {
  const stats = allocateStats()
  const made: ReplayDevice[] = []
  const replay = ({ packets, header = NO_VNET }: Traffic) => (slab: Slab) => {
    const device = new ReplayDevice(slab, { start: 0, end: 512 << 10 }, packets, header, offloads)
    made.push(device)
    return device
  }
  const replayWan = replay(wan)
  const settings: WanSettings = { up: true, mtu: 1500, addresses: [WAN], routes: [{ destination: 0, prefixLength: 0, gateway: null, source: WAN }] }
  const plane = new DataPlane(
    {
      table: allocateFlowTable(1 << 17),
      stats,
      wans: [{ settings }],
      ports: [[1, 65535]],
      behaviour: behaviourOf({}),
      forwards: [],
      mssClamp: true,
      lan: { mtu: 1500, address: 0x0a000001 },
    },
    { lan: replay(lan), wan: (_, slab) => replayWan(slab), wanHasNeighbours: () => false, ask: () => {}, random: seededRandom(3) },
  )
  const [lanDevice, wanDevice] = made as [ReplayDevice, ReplayDevice]
  const { pipeline, policy } = plane
  policy.handle({ type: 'routing', update: { routes: mainTable([settings]), rules: null, interfaces: null } })
  if (rules !== '') {
    for (const message of ruleMessages(0, restoreRuleset(emptyRuleset(), rules), [])) policy.handle(message)
    while (policy.step());
  }
  pipeline.tick(NOW)
  const batches = Math.ceil(lan.packets.length / Math.max(1, lanDevice.perBatch))
  for (let batch = 0; batch < batches; batch++) pipeline.pump(pipeline.lan)
  const drops = Object.keys(dropsByName(stats))
  if (drops.length > 0) throw new Error(`packets were dropped: ${drops.join(', ')}`)
  return { plane, pipeline, lanDevice, wanDevice }
}
