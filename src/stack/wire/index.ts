/**
 * The codecs, published as `tsnat/wire`: one protocol a namespace, accessors over a DataView and an address, no state.
 * Check lengths once, as each namespace says; then the accessors cannot fail.
 */
export * as address from './address.js'
export * as arp from './arp.js'
export * as checksum from './checksum.js'
export * as crc32c from './crc32c.js'
export * as ethernet from './ethernet.js'
export * as gre from './gre.js'
export * as icmp4 from './icmp4.js'
export * as ipv4 from './ipv4.js'
export * as pcapng from './pcapng.js'
export * as sctp from './sctp.js'
export * as tcp from './tcp.js'
export * as udp from './udp.js'
export * as udplite from './udplite.js'
export * as vnet from './vnet.js'
