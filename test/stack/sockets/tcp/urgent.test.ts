/** SOCK-13: urgent data (RFC 9293 3.8.5, RFC 6093): it stays where it is in the stream. */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'

describe('an urgent pointer', () => {
  it.each([0, 1, 3, 4, 5, 1000, 65_535])('SOCK-13: of %i beside four bytes leaves them in the stream', (urgent) => {
    const { peer, user } = new Bed().opened()
    peer.send('A', { data: 'one ' })
    peer.send('AU', { data: 'two ', urgent })
    peer.send('A', { data: 'three' })
    expect(user.takeText()).toBe('one two three')
  })

  it('SOCK-13: across three segments leaves all bytes in the stream, in order', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    peer.send('AU', { data: 'abc', urgent: 9 })
    peer.send('AU', { data: 'def', urgent: 6 })
    peer.send('AU', { data: 'ghi', urgent: 3 })
    peer.send('A', { data: 'jkl' })
    expect(user.takeText()).toBe('abcdefghijkl')
    bed.advance(500)
    expect(peer.sent().at(-1)).toBe('A 1 ack 13')
  })

  it('SOCK-13: without data is survived', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    peer.send('AU', { urgent: 5 })
    peer.send('AU', { urgent: 0 })
    peer.send('A', { data: 'data' })
    expect(user.takeText()).toBe('data')
    expect(user.events).toEqual([])
  })

  it('SOCK-13: with SYN and with FIN is survived', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('SU', { urgent: 100 })
    expect(peer.sent()).toEqual(['SA 0 ack 1'])
    peer.send('A')
    peer.send('FAU', { data: 'end', urgent: 2 })
    expect(accepted[0]!.takeText()).toBe('end')
    expect(accepted[0]!.events).toEqual(['end'])
  })

  it('SOCK-13: out of order leaves the bytes in order', () => {
    const { peer, user } = new Bed().opened()
    peer.send('AU', { seq: 4, data: 'def', urgent: 3 })
    peer.send('AU', { seq: 1, data: 'abc', urgent: 6 })
    expect(user.takeText()).toBe('abcdef')
  })

  it('SOCK-13: is never sent', () => {
    const { peer, user } = new Bed().opened()
    user.write(new Uint8Array(10_000))
    user.shutdown()
    expect(peer.segments().every(({ flags, urgent }) => !flags.includes('U') && urgent === 0)).toBe(true)
  })
})
