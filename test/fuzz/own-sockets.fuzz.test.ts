/** Fuzzes the way of packets to the gateway's own sockets: nothing throws, what is delivered is a packet, and all flows end. */
import { expect, it } from 'vitest'
import { createSlab, HEADROOM } from '../../src/stack/batch.js'
import { Packet, parse } from '../../src/stack/parse.js'
import { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { divert, open, TCP, UDP } from '../hooks/own-sockets.js'
import { A, AT, E, P } from '../stack/support.js'
import { randomFrom, randomStep } from './generate.js'

const SECONDS = Number(process.env.TSNAT_FUZZ_SECONDS ?? 2)
const SEED = Number(process.env.TSNAT_FUZZ_SEED ?? 1)
/** Steps that one gateway goes through. */
const STEPS = 200

const RULES = [
  '*nat\n-A PREROUTING -p udp -j REDIRECT --to-ports 53\n-A PREROUTING -p tcp -j REDIRECT --to-ports 80\nCOMMIT\n',
  '*nat\n-A PREROUTING -p udp -j DNAT --to-destination 203.0.113.1:53\n-A INPUT -p udp -j SNAT --to-source 192.0.2.9\nCOMMIT\n',
  '*mangle\n-A PREROUTING -p tcp -j TPROXY --on-port 80 --tproxy-mark 1\n-A PREROUTING -p udp -j TPROXY --on-port 0 --tproxy-mark 1\nCOMMIT\n',
  '*mangle\n-A PREROUTING -m socket --nowildcard --restore-skmark -j MARK --set-mark 1\nCOMMIT\n*filter\n-A INPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n',
]

/** Returns how many packets were delivered. */
const play = (seed: number): number => {
  let delivered = 0
  const random = randomFrom(seed)
  const gateway = new MemoryGateway({ sockets: 64, limits: { flows: 64 } })
  gateway.restoreRules(RULES[random(RULES.length)]!)
  if (random(2) === 0) divert(gateway, 1, 1)
  open(gateway, { protocol: UDP, local: '*:53', flags: random(2) === 0 ? ['transparent'] : [] })
  open(gateway, { protocol: TCP, local: '*:80', flags: random(2) === 0 ? ['transparent'] : [], mark: random(2) })
  open(gateway, { protocol: TCP, local: `${P}:80`, remote: `${A}:5000`, flags: random(2) === 0 ? ['transparent'] : ['timeWait'] })
  open(gateway, { protocol: UDP, local: `${E}:5000`, remote: `${P}:53` })
  const packet = new Packet()
  const slab = createSlab(128 << 10)
  for (let index = 0; index < STEPS; index++) {
    const step = randomStep(random)
    if (step.kind === 'advance') gateway.advance(step.seconds)
    if (step.kind !== 'lan' && step.kind !== 'wan') continue
    for (const { bytes, vnet } of step.packets) {
      const raw = Buffer.from(bytes, 'base64')
      if (step.kind === 'lan') gateway.fromLan(raw, vnet)
      else gateway.fromWan(raw, vnet)
    }
    for (const { bytes } of gateway.toSelf()) {
      delivered++
      slab.bytes.fill(0, AT - HEADROOM, AT)
      slab.bytes.set(bytes, AT)
      expect(parse(slab.view, AT, bytes.length, packet)).toBe(0)
    }
  }
  gateway.advance(10_000)
  expect(gateway.flows).toBe(0)
  return delivered
}

it('packets for own sockets', () => {
  const end = performance.now() + SECONDS * 1000
  let seed = SEED
  let delivered = 0
  do delivered += play(seed++)
  while (performance.now() < end)
  expect(delivered).toBeGreaterThan(0)
}, SECONDS * 1000 + 60_000)
