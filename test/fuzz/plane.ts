/** A whole data plane between two guarded devices, driven by steps that can be written down and played again. */
import { DataPlane } from '../../src/data-plane.js'
import type { Behaviours } from '../../src/nat/behaviour.js'
import { allocateFlowTable } from '../../src/nat/flow-table.js'
import type { Forward } from '../../src/nat/forwards.js'
import type { NatSettings } from '../../src/nat/settings.js'
import { behaviourOf } from '../../src/testing/memory-gateway.js'
import type { Offloads } from '../../src/stack/device/device.js'
import type { SentPacket, VnetHeader } from '../../src/stack/device/memory.js'
import { allocateStats } from '../../src/stats.js'
import { mainTable, seededRandom } from '../../src/testing/memory-gateway.js'
import type { WanSettings } from '../../src/worker-protocol.js'
import { E, G, ip } from '../stack/support.js'
import { GuardedDevice } from './guarded-device.js'

export interface PlaneOptions {
  lanMtu: number
  wanMtu: number
  lanOffloads: Offloads
  wanOffloads: Offloads
  neighbours: boolean
  flows: number
  ports: [number, number][]
  fragmentBytes: number
  mssClamp: boolean
  /** The gateway alone has the external address. */
  owned?: boolean
  /** Default: netfilter's. */
  behaviours?: Behaviours
  otherProtocols?: NatSettings['otherProtocols']
  forwards?: Forward[]
}

export interface StepPacket {
  /** Base64. */
  bytes: string
  vnet: VnetHeader
}

/** What may happen to a gateway. */
export type Step =
  | { kind: 'lan' | 'wan'; packets: StepPacket[] }
  | { kind: 'advance'; seconds: number }
  | { kind: 'learn' | 'fail' }
  | { kind: 'settings'; up: boolean; mtu: number; routed: boolean }
  | { kind: 'close'; flow: number }

export class FuzzPlane {
  readonly lan: GuardedDevice
  readonly wan: GuardedDevice
  readonly plane: DataPlane
  readonly #asked = new Set<number>()
  #now = 1_000_000

  constructor(options: PlaneOptions, junk: number) {
    this.lan = new GuardedDevice(options.lanOffloads, junk)
    this.wan = new GuardedDevice(options.wanOffloads, junk)
    this.plane = new DataPlane(
      {
        table: allocateFlowTable(options.flows),
        stats: allocateStats(),
        wans: [{ settings: wanSettings(true, options.wanMtu, true), ownedAddresses: options.owned === true ? [ip(E)] : null }],
        ports: options.ports,
        behaviour: behaviourOf({ ...(options.behaviours === undefined ? {} : { behaviours: options.behaviours }), nat: { otherProtocols: options.otherProtocols ?? 'refuse' }, limits: { flows: options.flows, fragmentBytes: options.fragmentBytes } }),
        forwards: options.forwards ?? [],
        mssClamp: options.mssClamp,
        lan: { mtu: options.lanMtu, address: ip(G) },
      },
      {
        lan: () => this.lan,
        wan: () => this.wan,
        wanHasNeighbours: () => options.neighbours,
        ask: (_, address) => this.#asked.add(address),
        random: seededRandom(1),
      },
    )
    this.#route(wanSettings(true, options.wanMtu, true))
    this.plane.pipeline.tick(this.#now)
  }

  #route(settings: WanSettings): void {
    const gone = mainTable([wanSettings(true, 1500, true)]).map((prefix) => ({ ...prefix, routes: [] }))
    this.plane.policy.handle({ type: 'routing', update: { routes: [...gone, ...mainTable([settings])], rules: null, interfaces: null } })
  }

  /** Does one step. Returns '' or what was written that must not be. */
  step(step: Step): string {
    const { pipeline } = this.plane
    switch (step.kind) {
      case 'lan':
      case 'wan': {
        const device = this[step.kind]
        for (const { bytes, vnet } of step.packets) device.push({ bytes: Buffer.from(bytes, 'base64'), vnet })
        while (device.pending > 0) {
          if (pipeline.pump(step.kind === 'lan' ? pipeline.lan : pipeline.wans[0]!) <= 0) throw new Error('a packet does not fit the receive region')
          const trespass = device.trespass()
          if (trespass !== '') return trespass
        }
        return ''
      }
      case 'advance':
        this.#now += step.seconds * 1000
        while (pipeline.tick(this.#now));
        return ''
      case 'learn':
        for (const address of this.#asked) this.plane.learnNeighbour(0, address, 0x0242, address)
        this.#asked.clear()
        return ''
      case 'fail':
        for (const address of this.#asked) this.plane.failNeighbour(0, address, this.#now)
        this.#asked.clear()
        return ''
      case 'settings':
        this.plane.setWan(0, wanSettings(step.up, step.mtu, step.routed))
        this.#route(wanSettings(step.up, step.mtu, step.routed))
        return ''
      case 'close':
        if (step.flow < this.plane.table.used) this.plane.nat.closeFlows(Int32Array.of(step.flow, this.plane.table.generationOf(step.flow)))
        return ''
    }
  }

  take(): { lan: SentPacket[]; wan: SentPacket[] } {
    return { lan: this.lan.takeSent(), wan: this.wan.takeSent() }
  }
}

const wanSettings = (up: boolean, mtu: number, routed: boolean): WanSettings => ({
  up, mtu, addresses: [ip(E)], routes: routed ? [{ destination: 0, prefixLength: 0, gateway: null, source: ip(E) }] : [],
})
