#!/usr/bin/perl

# RTP headers, byte by byte: from RTP to RTP they are kept as they came, with
# rtp=new they are made.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;
use MC::Datagram qw/ rtp rtp_read ts /;

my $t = MC->new(log => 'notice', flows => <<'END');
mc_flow keep {
    mc_source  rtp://127.0.0.1:%%keep%%;
    mc_output  keep   rtp://127.0.0.1:%%keep_keep%%;
    mc_output  named  rtp://127.0.0.1:%%keep_named%%  rtp=keep;
    mc_output  pt     rtp://127.0.0.1:%%keep_pt%%  pt=96;
    mc_output  udp    udp://127.0.0.1:%%keep_udp%%;
}

mc_flow new {
    mc_source  rtp://127.0.0.1:%%new%%;
    mc_output  new   rtp://127.0.0.1:%%new_new%%  rtp=new;
    mc_output  pt    rtp://127.0.0.1:%%new_pt%%  rtp=new  pt=100;
    mc_output  ssrc  rtp://127.0.0.1:%%new_ssrc%%  rtp=new  ssrc=305419896;
    mc_output  size  rtp://127.0.0.1:%%new_size%%  rtp=new  pkt_size=376;
    mc_output  udp   udp://127.0.0.1:%%new_udp%%  pkt_size=564;
}

mc_flow udp {
    mc_source  udp://127.0.0.1:%%udp%%;
    mc_output  rtp   rtp://127.0.0.1:%%udp_rtp%%;
    mc_output  ssrc  rtp://127.0.0.1:%%udp_ssrc%%
                     ssrc=4294967295  pt=127  pkt_size=188;
    mc_output  udp   udp://127.0.0.1:%%udp_udp%%;
}
END

my (%out, %in);

for (qw/ keep_keep keep_named keep_pt keep_udp new_new new_pt new_ssrc
         new_size new_udp udp_rtp udp_ssrc udp_udp /)
{
    $out{$_} = MC::Datagram->new(port => $t->port($_));
}

for (qw/ keep new udp /) {
    $in{$_} = MC::Datagram->new(to => ['127.0.0.1', $t->port($_)]);
}

# a datagram that differs is shown as hex

sub same {
    my ($got, $want, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for my $i (0 .. ($#$got > $#$want ? $#$got : $#$want)) {
        my ($g, $w) = ($got->[$i], $want->[$i]);
        next if defined $g && defined $w && $g eq $w;

        fail($name);
        diag(sprintf '%d datagrams of %d, the first other is number %d',
             scalar @$got, scalar @$want, $i);
        diag('got  ' . (defined $g ? unpack 'H64', $g : 'nothing'));
        diag('want ' . (defined $w ? unpack 'H64', $w : 'nothing'));
        return;
    }

    pass($name);
}

sub pt {
    my ($d, $pt) = @_;

    substr($d, 1, 1) = chr(ord(substr $d, 1, 1) & 0x80 | $pt);
    return $d;
}


# what senders put into headers, and datagrams of every size; numbers and
# timestamps wrap, and are no more regular than a sender cares to make them

my @sent = map {
    rtp(seq => 65530 + $_, ts => 0xfffffff0 + $_ * $_, ssrc => 0xdeadbeef,
        payload => ts($_, count => 1 + $_ % 7),
        marker => $_ % 5 == 0,
        $_ % 3 == 1 ? (csrc => [1 .. 1 + $_ % 15]) : (),
        $_ % 4 == 2 ? (ext => pack 'N*', 1 .. $_ % 8) : (),
        $_ % 6 == 3 ? (pad => 4 + $_) : ())
} 0 .. 39;

my @payload = map { ts($_, count => 1 + $_ % 7) } 0 .. 39;

$in{keep}->send(@sent);

same([$out{keep_keep}->recv_all(40, 5)], \@sent, 'every byte is kept');
same([$out{keep_named}->recv_all(40, 5)], \@sent, 'rtp=keep says the same');
same([$out{keep_pt}->recv_all(40, 5)], [map { pt($_, 96) } @sent],
     'pt= alone is altered');
same([$out{keep_udp}->recv_all(40, 5)], \@payload, 'to UDP: payloads alone');

my $s = $t->source('keep');
my $bytes = length join '', @payload;

is($s->{packets}, 40, 'packets of the source');
is($s->{bytes}, $bytes, 'bytes of the source are those of the payload');
is($t->output('keep', 'keep')->{bytes}, $bytes,
   'bytes of the output are those of the payload');

# every payload type that carries TS; 72 to 95 would be taken for RTCP

my $seq = 34;

@sent = map { rtp(seq => $seq++, pt => $_, ssrc => 0xdeadbeef,
                  payload => ts($_)) } 0 .. 71, 96 .. 127;

$in{keep}->send(@sent);
same([$out{keep_keep}->recv_all(104, 5)], \@sent, 'any payload type');
$out{$_}->recv_all(104, 5) for qw/ keep_named keep_pt keep_udp /;


# rtp=new: datagrams of our own, in order

@sent = map { rtp(seq => 1000 + $_, ts => $_ * 3000, ssrc => 7, pt => 96,
                  csrc => [1, 2], ext => 'four', payload => ts($_),
                  marker => 1) } 0 .. 19;
@payload = map { ts($_) } 0 .. 19;

$in{new}->send(@sent);

my %got;
$got{$_} = [map { rtp_read($_) } $out{"new_$_"}->recv_all(20, 5)]
    for qw/ new pt ssrc /;
$got{size} = [map { rtp_read($_) } $out{new_size}->recv_all(80, 5)];

for (qw/ new pt ssrc size /) {
    my @d = @{ $got{$_} };
    my $pt = $_ eq 'pt' ? 100 : 33;

    is(scalar @d, $_ eq 'size' ? 80 : 20, "$_: as many datagrams");
    is(scalar(grep { $_->{first} == 0x80 && $_->{pt} == $pt } @d), scalar @d,
       "$_: plain headers, payload type $pt");
    ok(join('', map { $_->{payload} } @d) eq join('', @payload),
       "$_: the same bytes");
    is(scalar(grep { $d[$_]{seq} == ($d[0]{seq} + $_ & 0xffff) } 0 .. $#d),
       scalar @d, "$_: numbered without gaps");
    is(scalar(grep { $_->{ssrc} == $d[0]{ssrc} } @d), scalar @d,
       "$_: one SSRC");
    ok(@d && $d[0]{ssrc} != 7, "$_: not the sender's SSRC");
}

is($got{ssrc}[0]{ssrc}, 305419896, 'ssrc=');
isnt($got{new}[0]{ssrc}, $got{pt}[0]{ssrc}, 'each output draws its own SSRC');
is_deeply([map { length $_->{payload} } @{ $got{size} }[0 .. 3]],
          [376, 376, 376, 188], 'pkt_size= cuts a datagram in whole packets');

my @udp = $out{new_udp}->recv_all(60, 5);
ok(join('', @udp) eq join('', @payload),
   'to UDP with pkt_size=: the same bytes');
is_deeply([map { length } @udp[0 .. 2]], [564, 564, 188],
          'to UDP with pkt_size=: cut');


# from UDP headers are always new

@payload = map { ts($_, count => 1 + $_ % 7) } 0 .. 20;
$in{udp}->send(@payload);

same([$out{udp_udp}->recv_all(21, 5)], \@payload,
     'UDP to UDP keeps the boundaries');

my @rtp = map { rtp_read($_) } $out{udp_rtp}->recv_all(21, 5);
same([map { $_->{payload} } @rtp], \@payload,
     'UDP to RTP keeps the boundaries');
is(scalar(grep { $_->{first} == 0x80 && $_->{pt} == 33
                 && $_->{ssrc} == $rtp[0]{ssrc} } @rtp), 21,
   'UDP to RTP: payload type 33 and one SSRC');

@rtp = map { rtp_read($_) } $out{udp_ssrc}->recv_all(84, 5);
is(scalar @rtp, 84, 'UDP to RTP: one TS packet each');
ok(join('', map { $_->{payload} } @rtp) eq join('', @payload),
   'UDP to RTP: the same bytes');
is_deeply([@{ $rtp[0] }{qw/ ssrc pt /}], [4294967295, 127],
          'UDP to RTP: ssrc= and pt=');


# nothing has come twice

is($out{$_}->recv(0), undef, "$_ got no more") for sort keys %out;

$t->finish;
done_testing();
