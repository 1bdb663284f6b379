/** The kernel's sockets as a {@link Dialer}: for an upstream that is on this host. */
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { parseIpv4 } from '../stack/wire/address.js'
import type { Dialer } from './sockets.js'

export const kernelDialer: Dialer = {
  connect: ({ host, port, allowHalfOpen }) => connect({ host, port, allowHalfOpen }),
  createDatagramSocket: () => createSocket('udp4'),
}

/** Whether an address is the kernel's own in this network namespace, or a loopback address. */
export const isOfThisHost = (address: string): boolean =>
  parseIpv4(address)! >>> 24 === 127 || Object.values(networkInterfaces()).some((all) => all?.some((one) => one.address === address))
