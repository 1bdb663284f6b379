{
  'targets': [
    {
      'target_name': 'tsnat',
      'sources': [
        'addon.c',
        'capability.c',
        'checksum.c',
        'copy.c',
        'descriptor.c',
        'interface.c',
        'io.c',
        'netlink.c',
        'netns.c',
        'packet.c',
        'stream.c',
        'tun.c',
        'util.c',
        'watch.c',
      ],
      'defines': ['NAPI_VERSION=8', '_GNU_SOURCE'],
      'cflags': ['-O2', '-Wall', '-Wextra', '-Werror', '-fvisibility=hidden', '-pthread'],
      'cflags!': ['-O3'],
      'cflags_c': ['-std=c11'],
      'ldflags': ['-pthread'],
    },
  ],
}
