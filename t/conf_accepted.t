#!/usr/bin/perl

# What nginx -t accepts, with a warning or without, and what it does not know
# because it is not built.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;

my $t = MC->new(start => 0, files => {
    'keys/a' => "0123456789\n", 'keys/youtube' => "abcd-efgh\r\n",
});

my $rtmp = 'server { listen 127.0.0.1:%%rtmp%%;
            application live { live on; } application live2 { live on; } }';

my $ok = 'mc_output o udp://127.0.0.1:5000;';
my $src = 'mc_source srt://:9000;';

sub tested {
    my ($name, $flows, %args) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($exit, $out) = $t->test_conf($flows, %args);
    is($exit, 0, $name) or diag("$flows\n$out");

    return $out;
}

sub silent {
    my ($name, $flows, %args) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $out = tested($name, $flows, %args);
    unlike($out, qr/\[(?:warn|emerg|alert|error)\]/, "$name: no warning");
}

sub warned {
    my ($name, $flows, @what) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $args = ref $what[0] eq 'ARRAY' ? shift @what : [];
    my $out = tested($name, $flows, @$args);
    my @lines = split /\n/, $t->read_file('test.conf');
    my ($line) = grep { $lines[$_ - 1] =~ /# HERE/ } 1 .. @lines;

    my ($warning) = grep { /\[warn\]/ } split /\n/, $out;
    $warning = '' unless defined $warning;

    my @why = grep { $warning !~ $_ } @what,
              qr{\Q$t->{dir}/test.conf:$line\E\b};
    ok(!@why, "$name: a warning") or diag(join "\n", @why, $out);
}

sub unknown {
    my ($name, $flows, @what) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($exit, $out) = $t->test_conf($flows);
    ok($exit != 0 && $out =~ /\[emerg\]/ && !grep({ $out !~ $_ } @what),
       "$name is not known") or diag("$flows\n$out");
}


# the contract's own example, as far as it is built

silent('an example', <<'END');
mc_region   singapore;

mc_flow studio-a {
    mc_title          "Studio A";
    mc_description    "Contribution to the CDN";
    mc_max_bandwidth  20m  exceed=drop;
    mc_allow          203.0.113.0/24 2001:db8::/32;

    mc_source  srt://:9000  passphrase_file=keys/a  pbkeylen=32;
    mc_source  srt://:9001  backup;

    mc_output  cdn      srt://198.51.100.7:9000  latency=200ms;
    mc_output  cdn      srt://198.51.100.8:9000  latency=200ms  backup;
    mc_output  lan      rtp://239.1.1.1:5004  ttl=16;
    mc_output  monitor  srt://:9100  allow=10.0.0.0/8;
}
END

silent('every directive', <<'END');
mc_flow late-defaults {
    mc_output o udp://127.0.0.1:5000;
    mc_source srt://:9009;
}
mc_max_bandwidth 100m exceed=alarm;
mc_allow 127.0.0.1;
mc_allow ::1 10.0.0.0/8;
mc_latency 200ms;
mc_batch 0ms;
mc_resolver 127.0.0.1 valid=10s;
mc_event_log %%DIR%%/events.log;
mc_zone_size 32m;

mc_flow x_1.y-z {
    mc_title          x;
    mc_description    y;
    mc_state          off;
    mc_allow          all;
    mc_latency        1s;
    mc_batch          20ms;
    mc_max_bandwidth  1g;
    mc_event_log      off;
    mc_source  udp://@239.1.1.1:5000 interface=lo source=127.0.0.1
               name=in  off;
    mc_output  o  udp://host.example:5000  off;
}
END

silent('every SRT parameter', <<'END');
mc_flow a {
    mc_source  srt://host.example:9000?mode=caller&latency=1s&rcvlatency=20
        peerlatency=300ms  passphrase=0123456789  pbkeylen=24  streamid=#!::r=x
        maxbw=0  inputbw=1000000  mininputbw=0  oheadbw=25  conntimeo=3000
        peeridletimeo=5s  lossmaxttl=20  payloadsize=1316  mss=1500  fc=8192
        rcvbuf=12000000  sndbuf=12000000  tlpktdrop=1  nakreport=1
        kmrefreshrate=100000  enforcedencryption=1  minversion=1.3.0
        ipttl=64  iptos=184  adapter=127.0.0.1  port=9002
        "description=A source"  max_bandwidth=10m;
    mc_output  o  srt://:9100  allow=10.0.0.0/8,::1  max_peers=10
        min_peers=1  packetfilter=fec,cols:10,rows:5;
    mc_output  p  srt://127.0.0.1:9200  mode=rendezvous;
}
END

silent('every RTP and UDP parameter', <<'END');
mc_flow a {
    mc_source  rtp://:5004  buffer=100ms  buffer_mode=constant  timeout=3s
        allow=10.0.0.0/8;
    mc_output  o  rtp://239.1.1.1:5006?ttl=16&tos=184  interface=lo  pt=96
        ssrc=4000000000  pkt_size=1316  rtp=new  pace=pcr;
    mc_output  p  udp://[ff05::1]:5008  interface=lo  pkt_size=188  pace=off;
    mc_output  q  rtp://127.0.0.1:5010  rtp=keep;
}
END

silent('several flows on one port', <<'END');
mc_flow a {
    mc_source  srt://:9000  streamid=a;
    mc_output  o  srt://:9000  streamid=a  passphrase=0123456789;
}
mc_flow b {
    mc_source  srt://:9000  streamid=#!::r=b,m=publish;
    mc_output  o  srt://[::]:9000  passphrase=0123456789;
}
END

# the modules for it are loaded: rtmp{} is what listens

silent('the RTMP of the example', <<'END', rtmp => $rtmp);
mc_flow studio-a {
    mc_source  srt://:9000;
    mc_output  youtube  rtmps://a.rtmps.youtube.com/live2
               key_file=keys/youtube;
    mc_output  players  rtmp:///live/studio-a  allow=10.0.0.0/8;
}
END

system('openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
       . " -subj /CN=ca.example -keyout $t->{dir}/keys/ca.key"
       . " -out $t->{dir}/keys/ca.pem 2>$t->{dir}/openssl.log") == 0
    or die 'openssl: ' . $t->read_file('openssl.log');

silent('every RTMP parameter', <<'END', rtmp => $rtmp);
mc_flow a {
    mc_source  rtmp:///live/a  key=k!%+#  rekey=disconnect  muxrate=5m
        allow=10.0.0.0/8  max_bandwidth=6m  "description=A source"  name=in;
    mc_source  rtmps://[2001:db8::1]:1443/app/inst/a?b=c/d&e=%f#+  backup
        maxrate=100k  tls_verify=on  tls_ca=keys/ca.pem;
    mc_output  o  rtmps://h.example/rtmp/?a=b  key=k?l=m&n  tls_verify=off
        program=1  video=0x100  audio=ENG;
    mc_output  o  rtmp://h.example:1935/app/name  backup  off;
    mc_output  p  rtmp:///live2/a  allow=10.0.0.0/8,::1  max_peers=10
        min_peers=1  audio=257;
}
END

silent('names in two applications', <<'END', rtmp => $rtmp);
mc_flow a {
    mc_source  rtmp:///live/a;
    mc_source  rtmp:///live/b  backup;
    mc_output  o  rtmp:///live2/a  allow=::1;
    mc_output  o  rtmp:///live2/b  allow=::1  backup;
    mc_output  p  rtmp://127.0.0.1/live/a;
    mc_output  q  rtp://127.0.0.1:5004  pace=off;
}
END

# percent in a query is decoded, "#" and "+" are what they are

silent('characters', <<'END');
mc_flow a {
    mc_source  srt://:9000?streamid=%23!::r=a&passphrase=a+b#c%20d!,e;
    mc_output  o  srt://:9100  "passphrase=a b;c{d}e;f";
}
END


# warnings

warned('no outputs', "mc_flow a { # HERE\n$src\n}", qr/idle/);
warned('an open output',
       "mc_flow a {\n$src\nmc_output o srt://:9100; # HERE\n}",
       qr/allow/, qr/passphrase/);
warned('an open RTMP output',
       "mc_flow a {\n$src\nmc_output o rtmp:///live/a; # HERE\n}",
       [rtmp => $rtmp], qr/anyone/, qr/it has no "allow"/);
warned('an option for files', "mc_flow a {\n"
       . "mc_source srt://:9000 transtype=live messageapi=1; # HERE\n$ok\n}",
       qr/messageapi/);

warned('a latency that looks like microseconds', "mc_flow a {\n"
       . "mc_source srt://:9000 latency=40000; # HERE\n$ok\n}",
       qr/FFmpeg/, qr/microseconds/);


# not built yet: unknown, never accepted and ignored

unknown($_->[0], "mc_flow a {\n$src\n$ok\n$_->[1]\n}", $_->[2])
    for ['flow://', 'mc_output r flow:///a;', qr/flow/],
        ['fec=', 'mc_output r rtp://127.0.0.1:5004 fec=10x10;', qr/"fec"/],
        ['link_key_file=', 'mc_output r srt://:9100 link_key_file=x;',
         qr/"link_key_file"/],
        ['mc_failover', 'mc_failover switch;', qr/"mc_failover"/],
        ['mc_notify', 'mc_notify http://127.0.0.1/;', qr/"mc_notify"/],
        ['mc_alarm', 'mc_alarm x raise=1;', qr/"mc_alarm"/];

unknown("$_->[0] in main", "$_->[1]\nmc_flow a { $src $ok }",
        qr/unknown directive "$_->[0]"/)
    for ['mc_failover', 'mc_failover off;'],
        ['mc_history', 'mc_history history.db;'],
        ['mc_node', 'mc_node a http://127.0.0.1/mc;'],
        ['mc_notify', 'mc_notify http://127.0.0.1/;'],
        ['mc_alarm', 'mc_alarm x;'],
        ['mc_public_address', 'mc_public_address example.com;'];

$t->finish;
done_testing();
