/**
 * tsnat as a gateway by its rules alone: the whole data plane between two memory devices, and the control plane that takes the words.
 * Packets go through it one by one, in order, as they go through the kernel of bed.ts.
 */
import { pino } from 'pino'
import { PolicyLink } from '../../../../src/control/policy-link.js'
import { PolicyService } from '../../../../src/control/policy-service.js'
import { connectedRoutes, type Device } from '../../../../src/route/connected.js'
import { parseIpv4 } from '../../../../src/stack/wire/address.js'
import { MemoryGateway } from '../../../../src/testing/memory-gateway.js'
import { LAN_MTU, type Side, WAN_MTU } from '../addresses.js'
import type { Emitted, RuleGateway } from './bed.js'
import { DEVICE, LAN_ROUTER, OWN_LAN, OWN_WAN, SETS, WAN_ROUTER } from './world.js'

const INTERFACES = ['lo', DEVICE.lan, DEVICE.wan]
const ROUTES = `route add 10.0.0.0/8 via ${LAN_ROUTER}\nroute add default via ${WAN_ROUTER}\n`

const device = (number: number, address: string, prefixLength: number): Device =>
  ({ number, name: INTERFACES[number - 1]!, up: true, addresses: [{ address: parseIpv4(address)!, prefixLength, primary: true }] })

export class TsnatRules implements RuleGateway {
  #gateway = new MemoryGateway()
  #service: PolicyService | undefined

  /** A new gateway, in the profile that behaves as the kernel does, in what is no affair of rules too. */
  async load(rules: string): Promise<void> {
    const gateway = new MemoryGateway({
      lanAddress: OWN_LAN, wanAddresses: [OWN_WAN], ownedAddresses: [OWN_WAN], profile: 'linux', mssClamp: false, lanMtu: LAN_MTU, wanMtu: WAN_MTU,
      routes: [
        { destination: parseIpv4('203.0.113.0')!, prefixLength: 24, gateway: null, source: parseIpv4(OWN_WAN)! },
        { destination: 0, prefixLength: 0, gateway: parseIpv4(WAN_ROUTER), source: parseIpv4(OWN_WAN)! },
      ],
      limits: { icmpErrorsPerSecond: 1_000_000 },
    })
    const service = new PolicyService({ log: pino({ enabled: false }), interfaces: INTERFACES, seed: 1, now: () => gateway.now, random: () => 1 })
    const devices = [device(1, '127.0.0.1', 8), device(2, OWN_LAN, 24), device(3, OWN_WAN, 24)]
    await service.setLinks(devices, connectedRoutes(devices))
    service.load({ rules: { name: 'rules', text: rules }, ipBatch: { name: 'routes', text: ROUTES }, ipset: { name: 'sets', text: SETS } })
    const { policy } = gateway.plane
    const link = new PolicyLink((message) => policy.handle(message))
    policy.answer = (message) => link.hear(message)
    for (const message of service.startMessages()) policy.handle(message)
    while (policy.step());
    service.attach(link)
    this.#gateway = gateway
    this.#service = service
  }

  async send(side: Side, packet: Uint8Array): Promise<Emitted[]> {
    const before = this.#refused
    // Time for the limit of errors to leave room again.
    this.#gateway.advance(0.001)
    const gateway = side === 'lan' ? this.#gateway.fromLan(packet) : this.#gateway.fromWan(packet)
    const [lan, wan] = [gateway.toLan(), gateway.toWan()].map((list, index) => list.map(({ bytes }): Emitted => ({ side: index === 0 ? 'lan' : 'wan', bytes })))
    // That nobody waits for it, the kernel of bed.ts does not say either.
    if (this.#refused > before) return []
    return side === 'lan' ? [...wan!, ...lan!] : [...lan!, ...wan!]
  }

  /** Packets to the gateway itself that nobody there waited for. */
  get #refused(): number {
    return this.#gateway.drops['to-gateway'] ?? 0
  }

  async save(): Promise<string> {
    const { output } = await this.#service!.run({ tool: 'iptables-save', argv: ['-c'], input: null })
    return output
  }

  close(): void {}
}
