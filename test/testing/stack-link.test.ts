import { describe, expect, it } from 'vitest'
import type { TcpEndpoint, TcpEvents } from '../../src/stack/sockets/tcp/endpoint.js'
import { describePacket } from '../../src/testing/describe-packet.js'
import { StackLink, type StackLinkOptions } from '../../src/testing/stack-link.js'
import { buildIcmpEcho } from '../../src/testing/packets.js'
import { ip } from '../stack/support.js'

const NOTHING: TcpEvents = { onConnect: () => {}, onReadable: () => {}, onDrain: () => {}, onFinish: () => {}, onError: () => {}, onClose: () => {} }

/** Sends so many bytes from left to right. */
const transfer = (options: StackLinkOptions, total: number): { link: StackLink; time: number; client: TcpEndpoint; got: () => number } => {
  const link = new StackLink(options)
  let got = 0
  link.right.stack.tcp.listen({ port: 80 }).onConnection = (endpoint) => {
    endpoint.events = { ...NOTHING, onReadable: () => { for (let bytes = endpoint.read(); bytes !== null && bytes !== 'end'; bytes = endpoint.read()) got += bytes.length } }
  }
  const client = link.left.stack.tcp.connect({ address: ip('10.0.0.2'), port: 80 })
  client.events = { ...NOTHING, onConnect: () => client.write(new Uint8Array(total)) }
  const begin = link.now
  link.until(() => got === total)
  return { link, time: link.now - begin, client, got: () => got }
}

describe('StackLink', () => {
  it('delays packets', () => {
    const { time, link } = transfer({ delay: 20 }, 100)
    // SYN, SYN-ACK, data.
    expect(time).toBeCloseTo(60, 0)
    expect(link.lost).toBe(0)
  })

  it('may be slower one way', () => {
    expect(transfer({ delay: 20, back: { delay: 100 } }, 100).time).toBeCloseTo(140, 0)
  })

  it('carries no more than its rate', () => {
    const { time } = transfer({ rate: 1000, delay: 5 }, 1_000_000)
    expect(time).toBeGreaterThan(1000)
    expect(time).toBeLessThan(1300)
  })

  it('loses, reorders and doubles packets, the same ones each time', () => {
    const run = (seed: number): [number, number, number] => {
      const { link, time } = transfer({ delay: 10, loss: 0.02, reorder: 0.05, duplicate: 0.02, seed }, 300_000)
      return [link.passed, link.lost, time]
    }
    expect(run(4)).toEqual(run(4))
    expect(run(4)).not.toEqual(run(5))
    expect(run(4)[1]).toBeGreaterThan(0)
  })

  it('loses what it is told to lose', () => {
    const link = new StackLink({ delay: 1 })
    const lost: string[] = []
    link.dropToRight((bytes) => lost.push(describePacket(bytes)) === 1)
    let connects = 0
    link.right.stack.tcp.listen({ port: 80 }).onConnection = () => connects++
    link.left.stack.tcp.connect({ address: ip('10.0.0.2'), port: 80 })
    link.run(999)
    expect([connects, lost.length]).toEqual([0, 1])
    link.run(10)
    expect(connects).toBe(1)
    expect(lost[1]).toBe(lost[0])
  })

  it('lets packets arrive out of nowhere', () => {
    const link = new StackLink()
    const answers: string[] = []
    link.dropToLeft((bytes) => answers.push(describePacket(bytes)) > 0)
    link.injectRight(buildIcmpEcho({ source: '10.0.0.77', destination: '10.0.0.2', identifier: 1, sequence: 2 }))
    link.run(0)
    expect(answers).toEqual([expect.stringMatching(/^10\.0\.0\.2 > 10\.0\.0\.77 ICMP 0\/0/)])
  })

  it('says when it comes to nothing', () => {
    const link = new StackLink()
    expect(() => link.until(() => false)).toThrow('did not come to that')
    expect(() => link.until(() => false, 10)).toThrow('within 10 ms')
  })

  it('runs by the real clock, when it is started', async () => {
    const link = new StackLink({ delay: 1 }).start()
    await new Promise<void>((resolve) => {
      link.right.stack.tcp.listen({ port: 80 }).onConnection = () => resolve()
      link.left.stack.attend()
      link.left.stack.tcp.connect({ address: ip('10.0.0.2'), port: 80 })
    })
    link.stop()
    expect(link.passed).toBeGreaterThanOrEqual(3)
  })
})
