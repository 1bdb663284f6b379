/** Segments of all kinds, near to and far from what can be, against every state: nothing throws, and no socket is left over. */
import { expect, it } from 'vitest'
import { seededRandom } from '../../../../src/testing/memory-gateway.js'
import { Bed } from './bed.js'
import type { Puppet } from './puppet.js'
import { User } from './user.js'

const FLAGS = ['A', 'A', 'A', 'A', 'FA', 'S', 'SA', 'R', 'RA', 'AU', 'F', '', 'SF', 'SR', 'SFA', 'FR', 'PA', 'SFRPAUEC']

class Dice {
  readonly #random: { next(): number }

  constructor(seed: number) {
    this.#random = seededRandom(seed)
  }

  below(bound: number): number {
    return Math.floor((this.#random.next() / 2 ** 32) * bound)
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!
  }

  /** Near to `value`, at an edge, or anywhere. */
  near(value: number): number {
    return this.of([value, value, value, value - 1, value + 1, value + this.below(3000), value - this.below(3000), value + 65_535, value + this.below(2 ** 32), value + 2 ** 31])
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256))
  }
}

const attack = (dice: Dice, peer: Puppet): void => {
  const flags = dice.of(FLAGS)
  const length = dice.of([0, 0, 0, 1, 100, 1460])
  const left = dice.near(peer.ack)
  const options = dice.below(8) === 0 ? dice.bytes(4 * dice.below(11)) : undefined
  peer.send(flags, {
    seq: dice.near(peer.seq), ack: dice.near(peer.ack), data: length, window: dice.of([0, 1, 100, 1460, 65_535]), urgent: dice.below(100),
    ...(dice.below(4) === 0 ? { sack: [[left, dice.near(left + 1460)] as const] } : {}),
    ...(options === undefined ? {} : { options }),
  })
}

const use = (dice: Dice, user: User): void => {
  const { endpoint } = user
  switch (dice.below(12)) {
    case 0: case 1: case 2:
      endpoint.write(dice.bytes(dice.of([1, 10, 1460, 5000])))
      return
    case 3:
      user.read()
      return
    case 4:
      if (dice.below(8) === 0) endpoint.shutdown()
      return
    case 5:
      if (dice.below(16) === 0) endpoint.close()
      return
    case 6:
      if (dice.below(64) === 0) endpoint.abort()
      return
    case 7:
      endpoint.setNoDelay(dice.below(2) === 0)
      return
    case 8:
      endpoint.setKeepAlive(dice.below(2) === 0, 1000)
  }
}

/** A stack whose puppets know how far they are, but send what they like. */
const play = (seed: number, turns: number): Bed => {
  const dice = new Dice(seed)
  const bed = new Bed({ seed })
  const users: User[] = []
  const peers: Puppet[] = []
  const options = () => ({ sack: dice.below(2) === 0, timestamps: dice.below(2) === 0, ...(dice.below(2) === 0 ? { scale: dice.below(16) } : {}) })
  const listening = bed.listen(80, { backlog: 4, isReading: dice.below(2) === 0 })
  for (let turn = 0; turn < turns; turn++) {
    const choice = dice.below(40)
    if (peers.length < 6 && choice < 3) {
      const peer = bed.puppet({ stackPort: 80, ...options() })
      peers.push(peer)
      peer.send('S')
      if (dice.below(2) === 0) peer.send('A')
    } else if (peers.length < 6 && choice < 6) {
      const peer = bed.puppet(options())
      peers.push(peer)
      users.push(bed.connect(peer, { isReading: dice.below(2) === 0 }))
      if (dice.below(2) === 0) peer.send('SA')
    } else if (choice === 6) bed.advance(dice.of([1, 40, 200, 1000, 60_000]))
    else if (peers.length === 0) continue
    else if (choice < 16) {
      const all = [...users, ...listening.accepted]
      if (all.length > 0) use(dice, dice.of(all))
    } else if (choice < 20) {
      // An honest answer brings the connection on.
      dice.of(peers).send('A', { data: dice.of([0, 0, 10]) })
    } else {
      const peer = dice.of(peers)
      const { seq } = peer
      attack(dice, peer)
      if (dice.below(4) !== 0) peer.seq = seq
    }
  }
  for (const { endpoint } of [...users, ...listening.accepted]) endpoint.close()
  listening.listener.close()
  return bed
}

it.each(Array.from({ length: 60 }, (_, index) => index + 1))('survives 400 steps of seed %i and leaves no socket', (seed) => {
  const bed = play(seed, 400)
  // Longer than anything is waited for.
  bed.advance(3 * 3_600_000)
  expect([...bed.stack.tcp.sockets()]).toEqual([])
  expect(bed.stack.table.count).toBe(0)
  expect(bed.stack.next).toBe(Infinity)
})
