/**
 * Two gateways with the same addresses, the kernel's masquerade and tsnat, each between two ends where the test holds the
 * packets itself: no kernel has an address there, so nothing answers but the gateway.
 *
 *     kernel:  lan0 ── 10.77.0.1 lan0  gateway  wan0 203.0.113.1 ── wan0
 *     tsnat:   tun0 (10.77.0.1)        gateway  wan0 203.0.113.1 ── wan0       --netns, --wan-address owned
 *
 * Inside is 10.0.0.0/8, behind a router where there is Ethernet; outside is everything else, behind 203.0.113.9. The WAN
 * carries 1400 bytes, the LAN 1500.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setImmediate } from 'node:timers/promises'
import { buildUdp } from '../../../src/testing/packets.js'
import { Lab } from '../../../src/testing/lab/index.js'
import type { LabNamespace, LabProcess } from '../../../src/testing/lab/index.js'
import * as ipv4 from '../../../src/stack/wire/ipv4.js'
import { INSIDE_ROUTER, LAN_MTU, OUTSIDE, OUTSIDE_ROUTER, OWN_INSIDE, type Side, WAN_MTU } from './addresses.js'
import { Tap } from './tap.js'

const MAC = { lanEnd: '02:00:00:00:01:02', lanGateway: '02:00:00:00:01:01', wanEnd: '02:00:00:00:02:09', wanGateway: '02:00:00:00:02:01' }

const CLI = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', 'dist', 'cli.js')

/** How long to look for a packet that must come, in milliseconds. */
const PATIENCE = 10_000
/** Once the marks are through, how long to look for what else is coming, in milliseconds. */
const AFTERMATH = 4
/** Packets between two marks, so that no queue on the way overflows. */
const CHUNK = 128

const MARK = { inside: '10.254.0.1', remote: '198.51.100.254', port: 9 }
const MARK_PROTOCOL = ipv4.PROTOCOL_UDP

/** What came out, by the side that it came out of, in order. */
export interface Output {
  lan: Uint8Array[]
  wan: Uint8Array[]
}

const markOf = (side: Side, serial: number): Uint8Array => {
  const payload = new TextEncoder().encode(`mark ${serial}`)
  return side === 'lan'
    ? buildUdp({ source: MARK.inside, destination: MARK.remote, sourcePort: MARK.port, destinationPort: MARK.port, payload })
    : buildUdp({ source: MARK.remote, destination: OUTSIDE, sourcePort: MARK.port, destinationPort: MARK.port, payload })
}

/** The serial number of a mark; -1 for other packets. */
const serialOf = (packet: Uint8Array): number => {
  if (packet[9] !== MARK_PROTOCOL || packet.length < 33) return -1
  const text = new TextDecoder().decode(packet.subarray(28))
  return text.startsWith('mark ') ? Number(text.slice(5)) : -1
}

/** A gateway with the test's hands on both sides of it. */
export class GatewayUnderTest {
  readonly name: string
  /** The namespace of the gateway itself. */
  readonly namespace: LabNamespace
  readonly #taps: Record<Side, Tap>
  #serial = 0

  constructor(name: string, namespace: LabNamespace, lan: Tap, wan: Tap) {
    this.name = name
    this.namespace = namespace
    this.#taps = { lan, wan }
  }

  /** Opens the flow of the marks. The first packets may be lost while the next hop is being resolved. */
  async prepare(): Promise<void> {
    const deadline = performance.now() + PATIENCE
    for (;;) {
      this.#taps.lan.send([markOf('lan', 0)])
      for (const end = performance.now() + 100; performance.now() < end; await setImmediate()) {
        this.#taps.lan.receive()
        if (this.#taps.wan.receive().some((packet) => serialOf(packet) >= 0)) return
      }
      if (performance.now() > deadline) throw new Error(`nothing comes through ${this.name}`)
    }
  }

  /**
   * Sends packets into both sides and collects what comes of them. A mark that follows them on each side tells when they are
   * through: both gateways keep the order of what one side sends.
   */
  async exchange(lan: readonly Uint8Array[], wan: readonly Uint8Array[]): Promise<Output> {
    const output: Output = { lan: [], wan: [] }
    for (let done = 0; done < Math.max(lan.length, wan.length, 1); done += CHUNK) {
      await this.#chunk(lan.slice(done, done + CHUNK), wan.slice(done, done + CHUNK), output)
    }
    return output
  }

  async #chunk(lan: readonly Uint8Array[], wan: readonly Uint8Array[], output: Output): Promise<void> {
    const serial = ++this.#serial
    this.#taps.lan.send([...lan, markOf('lan', serial)])
    this.#taps.wan.send([...wan, markOf('wan', serial)])
    const awaited = new Set<Side>(['lan', 'wan'])
    const deadline = performance.now() + PATIENCE
    let end = deadline
    while (performance.now() < end) {
      for (const side of ['lan', 'wan'] as const) {
        for (const packet of this.#taps[side].receive()) {
          const found = serialOf(packet)
          if (found < 0) output[side].push(packet)
          if (found !== serial) continue
          awaited.delete(side)
          if (awaited.size === 0) end = performance.now() + AFTERMATH
        }
      }
      await setImmediate()
    }
    if (awaited.size > 0) throw new Error(`${this.name}: the mark did not come out of ${[...awaited].join(' and ')}`)
  }

  close(): void {
    this.#taps.lan.close()
    this.#taps.wan.close()
  }
}

/** The kernel as the gateway: masquerade and nothing else, conntrack at its defaults, every ICMP error sent. */
export const kernelGateway = async (lab: Lab): Promise<GatewayUnderTest> => {
  const client = await lab.namespace('kernel-client')
  const gateway = await lab.namespace('kernel-gateway')
  const server = await lab.namespace('kernel-server')
  await lab.link(client, { name: 'lan0', mac: MAC.lanEnd, mtu: LAN_MTU }, gateway, { name: 'lan0', mac: MAC.lanGateway, mtu: LAN_MTU, address: `${OWN_INSIDE}/24` })
  await lab.link(server, { name: 'wan0', mac: MAC.wanEnd, mtu: WAN_MTU }, gateway, { name: 'wan0', mac: MAC.wanGateway, mtu: WAN_MTU, address: `${OUTSIDE}/24` })
  for (const [key, value] of [['ip_forward', 1], ['icmp_ratelimit', 0], ['icmp_msgs_per_sec', 1_000_000], ['icmp_msgs_burst', 1_000_000]] as const) {
    gateway.sysctl(`net.ipv4.${key}`, value)
  }
  await gateway.neighbour('lan0', INSIDE_ROUTER, MAC.lanEnd)
  await gateway.neighbour('wan0', OUTSIDE_ROUTER, MAC.wanEnd)
  await gateway.route('10.0.0.0/8', INSIDE_ROUTER)
  await gateway.route('default', OUTSIDE_ROUTER)
  await gateway.run('nft', ['table ip nat { chain out { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }; }'], { check: true })
  const lan = new Tap(client, { device: 'lan0', link: { own: MAC.lanEnd, other: MAC.lanGateway } })
  const wan = new Tap(server, { device: 'wan0', link: { own: MAC.wanEnd, other: MAC.wanGateway } })
  return new GatewayUnderTest('the kernel', gateway, lan, wan)
}

export interface TsnatGateway extends GatewayUnderTest {
  readonly process: LabProcess
}

/** tsnat as it is shipped, set to behave as the kernel does. */
export const tsnatGateway = async (lab: Lab): Promise<TsnatGateway> => {
  if (!existsSync(CLI)) throw new Error(`${CLI} does not exist: run "npm run build" first`)
  const client = await lab.namespace('tsnat-client')
  const gateway = await lab.namespace('tsnat-gateway')
  const server = await lab.namespace('tsnat-server')
  await lab.link(server, { name: 'wan0', mac: MAC.wanEnd, mtu: WAN_MTU }, gateway, { name: 'wan0', mac: MAC.wanGateway, mtu: WAN_MTU })
  // Before the start, as tsnat asks for its next hop then.
  const wan = new Tap(server, { device: 'wan0', link: { own: MAC.wanEnd, other: MAC.wanGateway } })
  const flags = [
    '--wan', 'wan0', '--wan-address', `owned:${OUTSIDE}/24`, '--wan-gateway', OUTSIDE_ROUTER,
    '--lan', 'tun0', '--lan-address', `${INSIDE_ROUTER}/24`, '--lan-mtu', String(LAN_MTU), '--netns', client.path,
    '--profile', 'linux',
    '--no-mss-clamp', '--limit', 'icmp-errors-per-second=1000000', '--log-level', 'warn',
  ]
  const process_ = gateway.spawn(process.execPath, [CLI, 'up', ...flags], { env: { TSNAT_RUN_DIR: lab.temporaryDirectory() } })
  await process_.waitFor(/^ready$/m, 20_000)
  const made = new GatewayUnderTest('tsnat', gateway, new Tap(client, { device: 'tun0' }), wan)
  return Object.assign(made, { process: process_ })
}
