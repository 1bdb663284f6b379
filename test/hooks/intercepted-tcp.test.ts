/** TCP connections of real stacks that are intercepted: by TPROXY, by REDIRECT, with the divert shortcut, and dialled on. */
import { afterEach, describe, expect, it } from 'vitest'
import type { TcpEndpoint } from '../../src/stack/sockets/tcp/endpoint.js'
import type { TcpListener, TcpListenOptions } from '../../src/stack/sockets/tcp/tcp.js'
import { StackedGateway } from './stacked-gateway.js'
import { A, E, G, ip, P } from '../stack/support.js'
import { divert } from './own-sockets.js'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** What an endpoint has got, and how it ended. */
class Log {
  text = ''
  readonly seen: string[] = []
}

const follow = (endpoint: TcpEndpoint): Log => {
  const log = new Log()
  endpoint.events = {
    onConnect: () => void log.seen.push('connect'),
    onReadable: () => {
      for (let data = endpoint.read(); data !== null; data = endpoint.read()) {
        if (data === 'end') {
          log.seen.push('end')
          return
        }
        log.text += new TextDecoder().decode(data)
      }
    },
    onDrain: () => {}, onFinish: () => {},
    onError: ({ code }) => void log.seen.push(code!),
    onClose: () => void log.seen.push('close'),
  }
  return log
}

const open: StackedGateway[] = []
const stacked = (rules: string): StackedGateway => {
  const made = new StackedGateway()
  made.gateway.restoreRules(rules)
  open.push(made)
  return made
}
afterEach(() => {
  for (const made of open.splice(0)) made.close()
})

interface Accepted { endpoint: TcpEndpoint; log: Log }
const listen = (listen: (options: TcpListenOptions) => TcpListener, options: TcpListenOptions): Accepted[] => {
  const accepted: Accepted[] = []
  listen(options).onConnection = (endpoint) => void accepted.push({ endpoint, log: follow(endpoint) })
  return accepted
}

const TPROXY = '*mangle\n-A PREROUTING -p tcp --dport 80 -j TPROXY --on-port 8080 --tproxy-mark 0x1/0x3\nCOMMIT\n'
const DIVERT = [
  '*mangle', ':tproxy_divert - [0:0]', '-A tproxy_divert -j MARK --set-mark 0x233', '-A tproxy_divert -j ACCEPT',
  '-A PREROUTING -p tcp -m socket -j tproxy_divert', '-A PREROUTING -i tun0 -p tcp -j TPROXY --on-port 10000 --on-ip 127.0.0.1 --tproxy-mark 0x233', 'COMMIT', '',
].join('\n')

describe('TPROXY', () => {
  it('TPX-1, ORG-2: the accepted socket has the original destination as its address, and the client talks to nobody else', () => {
    const made = stacked(TPROXY)
    divert(made.gateway, 1, 3)
    const accepted = listen((options) => made.stack.listenTcp(options), { port: 8080, transparent: true })
    const client = made.client.stack.connectTcp({ address: ip(P), port: 80 })
    const log = follow(client)
    made.run()
    const [{ endpoint, log: got }] = accepted as [Accepted]
    expect([endpoint.localAddress, endpoint.localPort, endpoint.remoteAddress, endpoint.remotePort]).toEqual([ip(P), 80, ip(A), client.localPort])
    client.write(bytes('question'))
    made.run()
    endpoint.write(bytes('answer'))
    endpoint.shutdown()
    made.run()
    client.shutdown()
    made.advance(1)
    expect([got.text, log.text]).toEqual(['question', 'answer'])
    expect([got.seen, log.seen]).toEqual([['end', 'close'], ['connect', 'end', 'close']])
    expect([made.gateway.flows, made.gateway.drops]).toEqual([0, {}])
  })

  it('TPX-4: without a transparent listener the client hears nothing', () => {
    const made = stacked(TPROXY)
    divert(made.gateway, 1, 3)
    listen((options) => made.stack.listenTcp(options), { port: 8080 })
    const log = follow(made.client.stack.connectTcp({ address: ip(P), port: 80 }))
    made.run()
    expect([log.seen, made.gateway.drops]).toEqual([[], { 'no-socket': 1 }])
  })

  it('SOM-1, TPX-7: with the divert shortcut, dialled on from the client\'s own address, both ways', () => {
    const made = stacked(DIVERT)
    divert(made.gateway, 0x233, -1)
    const atServer = listen((options) => made.server.stack.listenTcp(options), { port: 80 })
    const atProxy = listen((options) => made.stack.listenTcp(options), { port: 10000, transparent: true })
    const client = made.client.stack.connectTcp({ address: ip(P), port: 80 })
    const atClient = follow(client)
    made.run()
    const [{ endpoint: near, log: nearLog }] = atProxy as [Accepted]
    const far = made.stack.connectTcp({
      address: near.localAddress, port: near.localPort, localAddress: near.remoteAddress, localPort: near.remotePort, transparent: true,
    })
    const farLog = follow(far)
    made.run()
    const [{ endpoint: served, log: serverLog }] = atServer as [Accepted]
    expect([served.remoteAddress, served.remotePort]).toEqual([ip(A), client.localPort])
    client.write(bytes('up'))
    made.run()
    far.write(bytes(nearLog.text))
    made.run()
    served.write(bytes('down'))
    made.run()
    near.write(bytes(farLog.text))
    made.run()
    expect([serverLog.text, atClient.text]).toEqual(['up', 'down'])
    expect(made.gateway.flows).toBe(0)
  })
})

describe('REDIRECT', () => {
  const REDIRECT = '*nat\n-A PREROUTING -p tcp -j REDIRECT --to-ports 1080\nCOMMIT\n'

  it('RDR-3, ORG-1: the listener learns where the client wanted to go, and answers from there', () => {
    const made = stacked(REDIRECT)
    const accepted = listen((options) => made.stack.listenTcp(options), { port: 1080 })
    const client = made.client.stack.connectTcp({ address: ip(P), port: 80 })
    const log = follow(client)
    made.run()
    const [{ endpoint, log: got }] = accepted as [Accepted]
    expect([endpoint.localAddress, endpoint.localPort, endpoint.originalDestination]).toEqual([ip(G), 1080, { address: ip(P), port: 80 }])
    client.write(bytes('question'))
    made.run()
    endpoint.write(bytes('answer'))
    made.run()
    expect([got.text, log.text, made.gateway.flows, made.gateway.drops]).toEqual(['question', 'answer', 1, {}])
  })

  it('NAT-7: two connections of one client port to two servers are two', () => {
    const made = stacked(REDIRECT)
    const accepted = listen((options) => made.stack.listenTcp(options), { port: 1080 })
    const destinations = [P, '198.51.100.20']
    const clients = destinations.map((address) => made.client.stack.connectTcp({ address: ip(address), port: 80, localPort: 40000, reuseAddress: true }))
    const logs = clients.map(follow)
    made.run()
    expect(accepted.map(({ endpoint }) => endpoint.originalDestination?.address)).toEqual(destinations.map(ip))
    accepted.forEach(({ endpoint }, index) => endpoint.write(bytes(`to ${index}`)))
    made.run()
    expect(logs.map(({ text }) => text)).toEqual(['to 0', 'to 1'])
  })

  it('RDR-2: where nobody listens, and at the gateway\'s own address, the client is refused', () => {
    const made = stacked(REDIRECT)
    const redirected = follow(made.client.stack.connectTcp({ address: ip(P), port: 80 }))
    made.run()
    made.gateway.restoreRules('*nat\nCOMMIT\n')
    const plain = follow(made.client.stack.connectTcp({ address: ip(G), port: 80 }))
    made.run()
    expect([redirected.seen, plain.seen, made.gateway.flows]).toEqual([['ECONNREFUSED', 'close'], ['ECONNREFUSED', 'close'], 0])
  })
})

it('a listener at an address of the WAN serves inside and outside without a flow', () => {
  const made = stacked('*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -p tcp --dport 8000 -j ACCEPT\nCOMMIT\n')
  const accepted = listen((options) => made.stack.listenTcp(options), { port: 8000 })
  for (const host of [made.client, made.server]) {
    const peer = host.stack.connectTcp({ address: ip(E), port: 8000 })
    const log = follow(peer)
    made.run()
    accepted.at(-1)!.endpoint.write(bytes('hello'))
    made.run()
    expect([log.text, accepted.at(-1)!.endpoint.originalDestination]).toEqual(['hello', null])
  }
  expect([accepted.length, made.gateway.flows]).toEqual([2, 0])
})
