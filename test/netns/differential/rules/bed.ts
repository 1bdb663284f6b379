/**
 * A kernel that is a gateway by its rules alone, and tsnat with the same rules, each with the test's hands on both sides.
 *
 *     lan0 ── tun0 10.77.0.1  kernel  eth0 203.0.113.1 ── wan0         10.0.0.0/8 is inside, all else outside
 *
 * tsnat is its whole data plane between two memory devices (src/testing/memory-gateway.ts): it takes packets one by one, in order,
 * as the kernel does here.
 */
import { setImmediate } from 'node:timers/promises'
import { TABLE_NAMES } from '../../../../src/policy/model.js'
import type { Lab, LabNamespace } from '../../../../src/testing/lab/index.js'
import { buildUdp } from '../../../../src/testing/packets.js'
import { LAN_MTU, type Side, WAN_MTU } from '../addresses.js'
import { Tap } from '../tap.js'
import { DEVICE, LAN_ROUTER, MAPPED, MARK, OWN_LAN, OWN_WAN, SETS, SNAT_POOL, WAN_ROUTER } from './world.js'

const MAC = { lanEnd: '02:00:00:00:01:02', lanGateway: '02:00:00:00:01:01', wanEnd: '02:00:00:00:02:09', wanGateway: '02:00:00:00:02:01' }
/** How long to look for a packet that must come, in milliseconds. */
const PATIENCE = 10_000

/** A packet that came out. */
export interface Emitted { readonly side: Side; readonly bytes: Uint8Array }

/** A gateway that takes rules. */
export interface RuleGateway {
  /** All rules anew, with no flow and no count of the old ones. */
  load(rules: string): Promise<void>
  send(side: Side, packet: Uint8Array): Promise<Emitted[]>
  /** As iptables-save -c prints it: rules and chains with their counters. */
  save(): Promise<string>
  close(): void
}

const NO_RULES = TABLE_NAMES.map((table) => `*${table}\nCOMMIT\n`).join('')

const OTHER: Record<Side, Side> = { lan: 'wan', wan: 'lan' }

/** Packets that no socket of the gateway waits for go past all rules of iptables, and no further: tsnat has no sockets that could refuse them. */
const QUIET = 'table ip bed { chain in { type filter hook input priority 300; ip daddr != 127.0.0.0/8 meta l4proto != icmp drop; }; }'

class KernelGateway implements RuleGateway {
  readonly #namespace: LabNamespace
  readonly #taps: Record<Side, Tap>
  readonly #tool: string
  #serial = 0

  constructor(namespace: LabNamespace, taps: Record<Side, Tap>, tool: string) {
    this.#namespace = namespace
    this.#taps = taps
    this.#tool = tool
  }

  async load(rules: string): Promise<void> {
    // What matches remember goes with the last rule that names it.
    for (const input of [NO_RULES, rules]) await this.#namespace.run(`${this.#tool}-restore`, [], { input, check: true })
    await this.#namespace.run('ipset', ['flush', 'seen'], { check: true })
    await this.#namespace.run('conntrack', ['-F'])
  }

  async save(): Promise<string> {
    return (await this.#namespace.run(`${this.#tool}-save`, ['-c'], { check: true })).stdout
  }

  /** A mark that follows the packet tells when it is through: the kernel keeps the order of what one side sends. */
  async send(side: Side, packet: Uint8Array): Promise<Emitted[]> {
    const serial = ++this.#serial
    this.#taps[side].send([packet, markOf(side, serial)])
    const emitted: Emitted[] = []
    const deadline = performance.now() + PATIENCE
    for (let isThrough = false; !isThrough; await setImmediate()) {
      // The side that the mark comes out of last: what came before it is there then.
      const taken = [OTHER[side], side].flatMap((each) => this.#taps[each].receive().map((bytes) => ({ side: each, bytes })))
      for (const one of taken) {
        const found = serialOf(one.bytes)
        if (found < 0) emitted.push(one)
        isThrough ||= found === serial
      }
      if (performance.now() > deadline) throw new Error('the mark did not come through the kernel')
    }
    return emitted
  }

  close(): void {
    this.#taps.lan.close()
    this.#taps.wan.close()
  }
}

const markOf = (side: Side, serial: number): Uint8Array => {
  const payload = new TextEncoder().encode(`mark ${serial}`)
  const [source, destination] = side === 'lan' ? [MARK.inside, MARK.remote] : [MARK.remote, MARK.inside]
  return buildUdp({ source, destination, sourcePort: MARK.port, destinationPort: MARK.port, payload })
}

/** The serial number of a mark; -1 for other packets. */
const serialOf = (packet: Uint8Array): number => {
  if (packet[9] !== 17 || packet.length < 33) return -1
  const text = new TextDecoder().decode(packet.subarray(28))
  return text.startsWith('mark ') ? Number(text.slice(5)) : -1
}

/** @param tool `iptables-legacy` or `iptables-nft` */
export const kernelGateway = async (lab: Lab, tool: string): Promise<RuleGateway> => {
  const client = await lab.namespace(`${tool}-client`)
  const gateway = await lab.namespace(`${tool}-gateway`)
  const server = await lab.namespace(`${tool}-server`)
  await lab.link(client, { name: 'lan0', mac: MAC.lanEnd, mtu: LAN_MTU }, gateway, { name: DEVICE.lan, mac: MAC.lanGateway, mtu: LAN_MTU, address: `${OWN_LAN}/24` })
  await lab.link(server, { name: 'wan0', mac: MAC.wanEnd, mtu: WAN_MTU }, gateway, { name: DEVICE.wan, mac: MAC.wanGateway, mtu: WAN_MTU, address: `${OWN_WAN}/24` })
  const settings = { ip_forward: 1, icmp_ratelimit: 0, icmp_msgs_per_sec: 1_000_000, icmp_msgs_burst: 1_000_000, 'conf.all.send_redirects': 0 }
  for (const [key, value] of Object.entries(settings)) gateway.sysctl(`net.ipv4.${key}`, value)
  for (const device of ['all', DEVICE.lan, DEVICE.wan]) for (const key of ['rp_filter', 'send_redirects']) gateway.sysctl(`net.ipv4.conf.${device}.${key}`, 0)
  await gateway.neighbour(DEVICE.lan, LAN_ROUTER, MAC.lanEnd)
  await gateway.neighbour(DEVICE.wan, WAN_ROUTER, MAC.wanEnd)
  // Outside addresses that belong to no flow are nobody's: they are not sent out again.
  for (const nobody of [`${SNAT_POOL.first}/30`, `${MAPPED}.0/24`]) await gateway.run('ip', ['route', 'add', 'blackhole', nobody], { check: true })
  await gateway.route('10.0.0.0/8', LAN_ROUTER)
  await gateway.route('default', WAN_ROUTER)
  await gateway.run('ipset', ['restore'], { input: SETS, check: true })
  await gateway.run('nft', [QUIET], { check: true })
  const taps = {
    lan: new Tap(client, { device: 'lan0', link: { own: MAC.lanEnd, other: MAC.lanGateway } }),
    wan: new Tap(server, { device: 'wan0', link: { own: MAC.wanEnd, other: MAC.wanGateway } }),
  }
  return new KernelGateway(gateway, taps, tool)
}
