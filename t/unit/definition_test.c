/* sources: ngx_mc_definition.c ngx_mc_definition_rtmp.c ngx_mc_definition_text.c ngx_mc_param.c ngx_mc_validate.c srt/ngx_mc_srt_streamid.c -lcrypto */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_definition.h>
#include <ngx_mc_param.h>

#include <sys/syscall.h>

#include "shim.h"


#define IN   NGX_MC_INPUT
#define OUT  NGX_MC_OUTPUT


typedef struct {
    ngx_uint_t   direction;
    const char  *words;                /* URL and parameters */
    const char  *expected;
} definition_case_t;


static uid_t  test_uid;


/* who runs the tests must not matter */

uid_t
geteuid(void)
{
    return test_uid;
}


static ngx_int_t
parse_words(ngx_mc_parse_t *p, ngx_mc_endpoint_def_t *def,
    ngx_uint_t direction, const char *words)
{
    char        *copy, *word, *next, *eq;
    ngx_str_t    name, value;
    ngx_uint_t   n;

    /* words are separated by a space, "\t" stands for one within a word */

    ngx_memzero(p->err, sizeof(p->err));

    ngx_mc_def_init_endpoint(def);
    def->direction = direction;

    copy = ngx_pnalloc(p->pool, strlen(words) + 1);
    strcpy(copy, words);

    for (n = 0, word = copy; word; word = next, n++) {

        next = strchr(word, ' ');

        if (next) {
            *next++ = '\0';
        }

        for (eq = word; *eq; eq++) {
            if (*eq == '\t') {
                *eq = ' ';
            }
        }

        if (n == 0) {
            value = shim_str(word);

            if (ngx_mc_def_parse_url(p, def, &value) != NGX_OK) {
                return NGX_ERROR;
            }

            continue;
        }

        if (strcmp(word, "backup") == 0) {
            def->pipeline = NGX_MC_BACKUP;
            continue;
        }

        if (strcmp(word, "off") == 0) {
            def->off = 1;
            continue;
        }

        eq = strchr(word, '=');

        if (eq) {
            *eq++ = '\0';
        }

        name = shim_str(word);
        value = shim_str(eq);

        if (ngx_mc_def_parse_param(p, def, &name, &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_mc_def_check_endpoint(p, def);
}


/* mistakes that one endpoint shows */

static definition_case_t  mistakes[] = {

    /* URL */

    { IN, "", "no scheme in the URL, it must be like \"srt://HOST:PORT\"" },
    { IN, "srt", "no scheme in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "srt:/", "no scheme in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "srt:/:9000", "no scheme in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "/srt://", "no scheme in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "rtmp://host/app", "unsupported scheme \"rtmp\" in the URL, use "
      "\"srt\", \"rtp\" or \"udp\"" },
    { IN, "rtmps://host/app", "unsupported scheme \"rtmps\" in the URL, use "
      "\"srt\", \"rtp\" or \"udp\"" },
    { IN, "flow:///a/b", "unsupported scheme \"flow\" in the URL, use "
      "\"srt\", \"rtp\" or \"udp\"" },
    { IN, "passphrase=0123456789://", "unsupported scheme in the URL, use "
      "\"srt\", \"rtp\" or \"udp\"" },
    { IN, "srt://", "no port in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "srt://host", "no port in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "srt://[::1]", "no port in the URL, it must be like "
      "\"srt://HOST:PORT\"" },
    { IN, "srt://:", "invalid port in the URL, it must be a number from 1 to "
      "65535" },
    { IN, "srt://:0", "invalid port in the URL, it must be a number from 1 to "
      "65535" },
    { IN, "srt://:65536", "invalid port in the URL, it must be a number from "
      "1 to 65535" },
    { IN, "srt://:9000x", "invalid port in the URL, it must be a number from "
      "1 to 65535" },
    { IN, "srt://[::1]9000", "invalid port in the URL, it must be a number "
      "from 1 to 65535" },
    { IN, "srt://[::1:9000", "no closing bracket after the IPv6 address in "
      "the URL" },
    { IN, "srt://::1:9000", "an IPv6 address stands in brackets: "
      "\"srt://[ADDRESS]:PORT\"" },
    { IN, "srt://[1.2.3.4]:9000", "invalid IPv6 address in the URL" },
    { IN, "srt://[fe80::1%25eth0]:9000", "invalid IPv6 address in the URL" },
    { IN, "srt://[]:9000", "invalid IPv6 address in the URL" },
    { IN, "srt://[::ffff:1.2.3.4]:9000", "an IPv4-mapped IPv6 address in the "
      "URL, write the IPv4 address" },
    { IN, "srt://1.2.3:9000", "invalid IPv4 address in the URL" },
    { IN, "srt://1.2.3.:9000", "invalid IPv4 address in the URL" },
    { IN, "srt://1.2.3.256:9000", "invalid IPv4 address in the URL" },
    { IN, "srt://255.255.255.255:9000", "broadcast addresses are not "
      "supported" },
    { IN, "srt://a..b:9000", "invalid host name in the URL" },
    { IN, "srt://.b:9000", "invalid host name in the URL" },
    { IN, "srt://*:9000", "invalid host name in the URL" },
    { IN, "srt://a#b:9000", "invalid host name in the URL" },
    { IN, "srt://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaa:9000", "invalid host name in the URL" },
    { IN, "srt://user:secret@host:9000", "a user name has no meaning in an srt "
      "URL, it must be like \"srt://HOST:PORT\"" },
    { IN, "srt://@:9000", "a user name has no meaning in an srt "
      "URL, it must be like \"srt://HOST:PORT\"" },
    { IN, "udp://@@:9000", "a user name has no meaning in an udp "
      "URL, it must be like \"udp://HOST:PORT\"" },
    { OUT, "udp://@239.1.1.1:9000", "\"udp://@\" means to receive, an output "
      "is \"udp://HOST:PORT\"" },
    { IN, "srt://:9000/live", "an srt URL ends after the port, or goes on "
      "with \"?\" and parameters" },
    { IN, "srt://:9000/#", "an srt URL ends after the port, or goes on "
      "with \"?\" and parameters" },

    /* query */

    { IN, "srt://:9000?latency", "parameter \"latency\" has no value" },
    { IN, "srt://:9000?latency=", "parameter \"latency\" has no value" },
    { IN, "srt://:9000?passphrase=0123456789&abc", "a parameter without \"=\" "
      "in the query of the URL; \"&\" in a value is written \"%26\"" },
    { IN, "srt://:9000?streamid=%zz", "\"%\" without two hexadecimal digits "
      "in the query of the URL; \"%\" itself is written \"%25\"" },
    { IN, "srt://:9000?streamid=%2", "\"%\" without two hexadecimal digits "
      "in the query of the URL; \"%\" itself is written \"%25\"" },
    { IN, "srt://:9000?backup", "\"backup\" is a word of its own, without a "
      "value and not in the query of a URL" },
    { IN, "srt://:9000?off", "\"off\" is a word of its own, without a "
      "value and not in the query of a URL" },
    { IN, "srt://:9000?backup=1", "\"backup\" is a word of its own, without a "
      "value and not in the query of a URL" },
    { IN, "srt://:9000?latency=1&latency=1",
      "parameter \"latency\" is given twice" },
    { IN, "srt://:9000?latency=1 latency=1",
      "parameter \"latency\" is given twice" },

    /* parameters */

    { IN, "srt://:9000 latancy=200", "unknown parameter \"latancy\", did you "
      "mean \"latency\"?" },
    { IN, "srt://:9000 passhprase=0123456789", "unknown parameter "
      "\"passhprase\", did you mean \"passphrase\"?" },
    { IN, "srt://:9000 pass=0123456789", "unknown parameter \"pass\"" },
    { IN, "srt://:9000 =x", "unknown parameter \"\"" },
    { IN, "srt://:9000 rekey=keep", NULL },
    { OUT, "srt://:9000 rekey=disconnect", NULL },
    { IN, "srt://h:9000 rekey=keep", "\"rekey\" is for listeners: a caller "
      "connects anew when its passphrase is changed" },
    { IN, "rtp://:9000 rekey=keep", "parameter \"rekey\" belongs to SRT "
      "sources and outputs" },
    { IN, "srt://:9000 rekey=never", "\"rekey\" must be \"keep\" or "
      "\"disconnect\"" },
    { IN, "srt://:9000 a\"b\tc=keep", "unknown parameter \"a\"" },
    { OUT, "rtp://h:5004 fec=10x10", "unknown parameter \"fec\"" },
    { OUT, "rtp://h:5004 key=abc", "unknown parameter \"key\"" },
    { OUT, "rtp://h:5004 key_file=abc", "unknown parameter \"key_file\"" },
    { OUT, "rtp://h:5004 tls_verify=off", "unknown parameter "
      "\"tls_verify\"" },
    { OUT, "rtp://h:5004 link_key_file=off", "unknown parameter "
      "\"link_key_file\"" },
    { OUT, "rtp://h:5004 program=1", "unknown parameter \"program\"" },
    { OUT, "rtp://h:5004 video=1", "unknown parameter \"video\"" },
    { OUT, "rtp://h:5004 audio=1", "unknown parameter \"audio\"" },
    { OUT, "rtp://h:5004 buffer=50ms",
      "parameter \"buffer\" belongs to RTP sources" },
    { IN, "udp://:5004 buffer=50ms",
      "parameter \"buffer\" belongs to RTP sources" },
    { IN, "srt://:5004 ttl=5",
      "parameter \"ttl\" belongs to RTP and UDP outputs" },
    { IN, "rtp://:5004 latency=5",
      "parameter \"latency\" belongs to SRT sources and outputs" },
    { OUT, "rtp://h:5004 timeout=5", "parameter \"timeout\" belongs to RTP "
      "and UDP sources, and SRT sources and outputs" },
    { OUT, "rtp://h:5004 allow=10.0.0.0/8", "parameter \"allow\" belongs to "
      "SRT sources and outputs, and RTP and UDP sources" },
    { OUT, "rtp://h:5004 max_bandwidth=10m", "parameter \"max_bandwidth\" "
      "belongs to all sources" },
    { OUT, "rtp://h:5004 name=x", "parameter \"name\" belongs to all "
      "sources" },
    { IN, "rtp://:5004 exceed=drop", "\"exceed\" belongs to the "
      "\"mc_max_bandwidth\" directive" },
    { OUT, "rtp://h:5004 exceed=drop", "unknown parameter \"exceed\"" },

    { IN, "srt://:9000 passphrase=correct-horse battery",
      "a word without \"=\" that is neither \"backup\" nor \"off\"; a parameter with spaces is quoted "
      "as a whole: \"PARAM=SOME TEXT\"" },
    { IN, "srt://:9000 latency", "parameter \"latency\" has no value" },
    { IN, "rtp://:9000 latency", "parameter \"latency\" belongs to SRT "
      "sources and outputs" },

    { IN, "rtp://:5004 name=a/b", "\"name\" must be 1 to 64 letters, digits, "
      "\"_\", \".\" and \"-\", and neither \".\" nor \"..\"" },
    { IN, "rtp://:5004 name=..", "\"name\" must be 1 to 64 letters, digits, "
      "\"_\", \".\" and \"-\", and neither \".\" nor \"..\"" },
    { IN, "rtp://:5004 name=a name=a", "parameter \"name\" is given twice" },
    { IN, "rtp://:5004 description=\xff", "\"description\" must be at most "
      "255 characters of UTF-8, without control characters" },
    { IN, "rtp://:5004 description=\xc3", "\"description\" must be at most "
      "255 characters of UTF-8, without control characters" },
    { IN, "rtp://:5004?description=a%0Ab", "\"description\" must be at most "
      "255 characters of UTF-8, without control characters" },

    { IN, "rtp://:5004 max_bandwidth=20", NULL },
    { IN, "rtp://:5004 max_bandwidth=20x", "\"max_bandwidth\" must be a "
      "number of bits per second, such as \"800k\", \"20m\" or \"1g\"" },
    { IN, "rtp://:5004 max_bandwidth=m", "\"max_bandwidth\" must be a "
      "number of bits per second, such as \"800k\", \"20m\" or \"1g\"" },
    { IN, "rtp://:5004 max_bandwidth=-1", "\"max_bandwidth\" must be a "
      "number of bits per second, such as \"800k\", \"20m\" or \"1g\"" },
    { IN, "rtp://:5004 max_bandwidth=99999999999999999999g",
      "\"max_bandwidth\" must be a number of bits per second, such as "
      "\"800k\", \"20m\" or \"1g\"" },

    { IN, "rtp://:5004 allow=10.0.0.0/33", "network 1 of \"allow\" must be an "
      "address or like \"192.0.2.0/24\" or \"2001:db8::/32\", and \"all\" "
      "stands alone" },
    { IN, "rtp://:5004 allow=10.0.0.0/8,x", "network 2 of \"allow\" must be an "
      "address or like \"192.0.2.0/24\" or \"2001:db8::/32\", and \"all\" "
      "stands alone" },
    { IN, "rtp://:5004 allow=10.0.0.0/8,", "network 2 of \"allow\" must be an "
      "address or like \"192.0.2.0/24\" or \"2001:db8::/32\", and \"all\" "
      "stands alone" },
    { IN, "rtp://:5004 allow=all,10.0.0.0/8", "network 2 of \"allow\" must be "
      "an address or like \"192.0.2.0/24\" or \"2001:db8::/32\", and \"all\" "
      "stands alone" },
    { IN, "rtp://:5004 allow=10.0.0.0/8,all", "network 2 of \"allow\" must be "
      "an address or like \"192.0.2.0/24\" or \"2001:db8::/32\", and \"all\" "
      "stands alone" },

    /* SRT */

    { IN, "srt://:9000 mode=talker", "\"mode\" must be \"caller\", "
      "\"listener\", \"rendezvous\", \"client\" or \"server\"" },
    { IN, "srt://:9000 latency=-1", "\"latency\" must be a time of 0 to "
      "65535ms, such as \"200ms\" or \"2s\"" },
    { IN, "srt://:9000 latency=1x", "\"latency\" must be a time of 0 to "
      "65535ms, such as \"200ms\" or \"2s\"" },
    { IN, "srt://:9000 latency=1m30", "\"latency\" must be a time of 0 to "
      "65535ms, such as \"200ms\" or \"2s\"" },
    { IN, "srt://:9000 latency=66s", "\"latency\" must be a time of 0 to "
      "65535ms, such as \"200ms\" or \"2s\"" },
    { IN, "srt://:9000 latency=200000", "\"latency\" must be a time of 0 to "
      "65535ms; a bare number is milliseconds here, while FFmpeg counts in "
      "microseconds" },
    { IN, "srt://:9000 passphrase=123456789",
      "\"passphrase\" must be 10 to 79 characters long" },
    { IN, "srt://:9000 passphrase=12345678901234567890123456789012345678901234"
      "567890123456789012345678901234567890",
      "\"passphrase\" must be 10 to 79 characters long" },
    { IN, "srt://:9000?passphrase=0123456789%0D",
      "\"passphrase\" has a control character in it" },
    { IN, "srt://:9000?passphrase=0123456789%00",
      "\"passphrase\" has a control character in it" },
    { IN, "srt://:9000 passphrase=0123456789 passphrase_file=/x",
      "\"passphrase\" and \"passphrase_file\" exclude each other" },
    { IN, "srt://:9000 passphrase_file=/nowhere/at/all", "the file of "
      "\"passphrase_file\" cannot be opened (2: No such file or directory)" },
    { IN, "srt://:9000 passphrase_file=/", "the file of \"passphrase_file\" "
      "cannot be read" },
    { IN, "srt://:9000 passphrase_file=/dev/null", "the file of "
      "\"passphrase_file\" cannot be read" },
    { IN, "srt://:9000?passphrase_file=a%00b", "invalid name of the file of "
      "\"passphrase_file\"" },
    { IN, "srt://:9000 pbkeylen=20 passphrase=0123456789",
      "\"pbkeylen\" must be \"16\", \"24\" or \"32\" bytes" },
    { IN, "srt://:9000 pbkeylen=8 passphrase=0123456789",
      "\"pbkeylen\" must be \"16\", \"24\" or \"32\" bytes" },
    { IN, "srt://:9000 pbkeylen=33 passphrase=0123456789",
      "\"pbkeylen\" must be a number from 0 to 32" },
    { IN, "srt://:9000 pbkeylen=16", "\"pbkeylen\" without \"passphrase\" "
      "encrypts nothing, add \"passphrase\" or \"passphrase_file\"" },
    { IN, "srt://:9000 streamid=#!::m=publish", "the \"streamid\" of a "
      "listener needs a resource: a name or \"#!::r=NAME\"" },
    { IN, "srt://:9000 streamid=#!::r", "malformed \"streamid\", it must be a "
      "name or like \"#!::r=NAME\"" },
    { IN, "srt://:9000 streamid=#!::r=x,m=bidirectional", "\"m\" in "
      "\"streamid\" must be \"publish\" or \"request\"" },
    { OUT, "srt://:9000 streamid=#!::r=x,m=publish", "\"m=publish\" in "
      "\"streamid\" reaches sources only, an output has \"m=request\"" },
    { IN, "srt://h:9000 streamid=x mode=rendezvous", "a rendezvous carries no "
      "\"streamid\"" },
    { IN, "srt://:9000 maxbw=-2", "\"maxbw\" must be a number from -1 to "
      "1000000000000" },
    { IN, "srt://:9000 maxbw=1m", "\"maxbw\" must be a number from -1 to "
      "1000000000000" },
    { IN, "srt://:9000 maxbw=99999999999999999999", "\"maxbw\" must be a "
      "number from -1 to 1000000000000" },
    { IN, "srt://:9000 inputbw=-1", "\"inputbw\" must be a number from 0 to "
      "1000000000000" },
    { IN, "srt://:9000 oheadbw=4", "\"oheadbw\" must be a number from 5 to "
      "100" },
    { IN, "srt://:9000 oheadbw=101", "\"oheadbw\" must be a number from 5 to "
      "100" },
    { IN, "srt://:9000 oheadbw=0x", "\"oheadbw\" must be a number from 5 to "
      "100" },
    { IN, "srt://:9000 conntimeo=0", "\"conntimeo\" must be a time of 1 to "
      "600000ms, such as \"200ms\" or \"2s\"" },
    { IN, "srt://:9000 lossmaxttl=-1", "\"lossmaxttl\" must be a number from 0 "
      "to 1000000" },
    { IN, "srt://:9000 payloadsize=1457", "\"payloadsize\" must be a number "
      "from 188 to 1456" },
    { IN, "srt://:9000 mss=75", "\"mss\" must be a number from 76 to 1500" },
    { IN, "srt://:9000 mss=1359", "\"mss\" must be at least 1360, "
      "\"payloadsize\" and 44 bytes of headers" },
    { IN, "srt://:9000 mss=1363 packetfilter=fec,cols:10", "\"mss\" must be "
      "at least 1364, \"payloadsize\" and 48 bytes of headers" },
    { IN, "srt://:9000 payloadsize=1456 packetfilter=fec", "\"payloadsize\" "
      "must be at most 1452 with this \"packetfilter\"" },
    { IN, "srt://:9000 packetfilter=rs,cols:10", "\"packetfilter\" must begin "
      "with \"fec\"" },
    { IN, "srt://:9000 packetfilter=fec,rows:10", "\"packetfilter\" needs "
      "\"cols\", as in \"fec,cols:10,rows:5\"" },
    { IN, "srt://:9000 packetfilter=fec,cols:0", "\"packetfilter\" must be "
      "like \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"" },
    { IN, "srt://:9000 packetfilter=fec,cols:10,layout:odd",
      "\"packetfilter\" must be like \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"" },
    { IN, "srt://:9000 packetfilter=fec,cols:10,arq:often", "\"packetfilter\""
      " must be like \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"" },
    { IN, "srt://:9000 packetfilter=fec,cols:10,rows:-x", "\"packetfilter\""
      " must be like \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"" },
    { IN, "srt://:9000 packetfilter=fec,cols", "\"packetfilter\""
      " must be like \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"" },
    { IN, "srt://:9000 packetfilter=fec,colums:10", "\"packetfilter\""
      " must be like \"fec,cols:10,rows:5,layout:staircase,arq:onreq\"" },
    { IN, "srt://:9000 fc=31", "\"fc\" must be a number from 32 to "
      "10000000" },
    { IN, "srt://:9000 tlpktdrop=2", "\"tlpktdrop\" must be \"0\" or \"1\"" },
    { IN, "srt://:9000 minversion=1.3", "\"minversion\" must be a version "
      "such as \"1.3.0\"" },
    { IN, "srt://:9000 minversion=1.3.0.1", "\"minversion\" must be a version "
      "such as \"1.3.0\"" },
    { IN, "srt://:9000 minversion=1.3.256", "\"minversion\" must be a version "
      "such as \"1.3.0\"" },
    { IN, "srt://:9000 ipttl=0", "\"ipttl\" must be a number from 1 to 255" },
    { IN, "srt://:9000 iptos=0x100", "\"iptos\" must be a number from 0 to "
      "255" },
    { IN, "srt://:9000 iptos=0xg", "\"iptos\" must be a number from 0 to "
      "255" },
    { IN, "srt://:9000 transtype=file", "\"transtype\" can only be "
      "\"live\"" },
    { IN, "srt://:9000 adapter=127.0.0.1", "\"adapter\" is for callers, a "
      "listener's address stands in the URL: \"srt://ADDRESS:9000\" with "
      "\"mode=listener\"" },
    { IN, "srt://:9000 port=9001", "\"port\" is the local port of a caller, a "
      "listener's stands in the URL" },
    { IN, "srt://h:9000 port=0", "\"port\" must be a number from 1 to "
      "65535" },
    { IN, "srt://h:9000 adapter=h", "\"adapter\" must be a local address" },
    { IN, "srt://h:9000 adapter=224.0.0.1",
      "\"adapter\" must be a local address" },
    { IN, "srt://[::1]:9000 adapter=127.0.0.1", "\"adapter\" and the host "
      "must both be IPv4 or both IPv6" },
    { IN, "srt://:9000 mode=caller", "\"mode=caller\" needs a host in the "
      "URL: \"srt://HOST:9000\"" },
    { IN, "srt://[::]:9000 mode=rendezvous", "\"mode=rendezvous\" needs a "
      "host in the URL: \"srt://HOST:9000\"" },
    { IN, "srt://host:9000 mode=listener", "a listener needs a local address, "
      "not a host name; \"srt://:9000\" is any" },
    { IN, "srt://host:9000 allow=10.0.0.0/8", "\"allow\" is for those who "
      "listen, this is a caller" },
    { OUT, "srt://host:9000 max_peers=5", "\"max_peers\" and \"min_peers\" "
      "are for listening outputs, this is a caller" },
    { OUT, "srt://:9000 max_peers=5 min_peers=6", "\"min_peers\" is greater "
      "than \"max_peers\"" },
    { OUT, "srt://:9000 max_peers=0", "\"max_peers\" must be a number from 1 "
      "to 100000" },
    { IN, "srt://:9000 max_peers=5", "parameter \"max_peers\" belongs to SRT "
      "outputs" },
    { IN, "srt://239.1.1.1:9000", "SRT has no multicast, use \"rtp://\" or "
      "\"udp://\"" },

    /* RTP and UDP */

    { IN, "rtp://host:5004", "this source needs a local address or a "
      "multicast group, not a host name; \"rtp://:5004\" is any local "
      "address" },
    { IN, "rtp://:5004 source=10.0.0.1", "\"source\" is for multicast groups, "
      "others have \"allow\"" },
    { IN, "rtp://239.1.1.1:5004 source=host", "\"source\" must be the address "
      "of a sender, IPv4 as the group" },
    { IN, "rtp://239.1.1.1:5004 source=0.0.0.0", "\"source\" must be the "
      "address of a sender, IPv4 as the group" },
    { IN, "rtp://239.1.1.1:5004 source=239.1.1.1", "\"source\" must be the "
      "address of a sender, IPv4 as the group" },
    { IN, "rtp://[ff15::1]:5004 source=10.0.0.1", "\"source\" must be the "
      "address of a sender, IPv6 as the group" },
    { IN, "rtp://:5004 interface=eth0", "\"interface\" is for multicast "
      "groups" },
    { OUT, "rtp://host:5004 interface=eth0", "\"interface\" is for multicast "
      "groups" },
    { IN, "rtp://239.1.1.1:5004 interface=sixteencharacter", "\"interface\" "
      "must be a name of at most 15 characters such as \"eth0\", or a local "
      "address" },
    { IN, "rtp://239.1.1.1:5004 interface=a/b", "\"interface\" "
      "must be a name of at most 15 characters such as \"eth0\", or a local "
      "address" },
    { IN, "rtp://[ff15::1]:5004 interface=10.0.0.1", "\"interface\" must be a "
      "name such as \"eth0\", or the local address of an IPv4 group" },
    { IN, "rtp://239.1.1.1:5004 interface=0.0.0.0", "\"interface\" must be a "
      "name such as \"eth0\", or the local address of an IPv4 group" },
    { IN, "rtp://:5004 buffer=11s", "\"buffer\" must be a time of 0 to "
      "10000ms, such as \"200ms\" or \"2s\"" },
    { IN, "rtp://:5004 buffer_mode=long", "\"buffer_mode\" must be "
      "\"release\" or \"constant\"" },
    { OUT, "rtp://:5004", "an output needs a host or a group to send to: "
      "\"rtp://HOST:5004\"" },
    { OUT, "udp://[::]:5004", "an output needs a host or a group to send to: "
      "\"udp://HOST:5004\"" },
    { OUT, "rtp://h:5004 ttl=256", "\"ttl\" must be a number from 0 to "
      "255" },
    { OUT, "rtp://h:5004 ttl=0", "\"ttl=0\" is for multicast groups only" },
    { OUT, "rtp://h:5004 pt=128", "\"pt\" must be a number from 0 to 127" },
    { OUT, "udp://h:5004 pt=33", "parameter \"pt\" belongs to RTP outputs" },
    { OUT, "rtp://h:5004 ssrc=0x100000000", "\"ssrc\" must be a number from 0 "
      "to 4294967295" },
    { OUT, "rtp://h:5004 pkt_size=1317", "\"pkt_size\" must be a number from "
      "188 to 1316" },
    { OUT, "rtp://h:5004 pkt_size=1300", "\"pkt_size\" must be a multiple of "
      "188, the size of a TS packet" },
    { OUT, "rtp://h:5004 rtp=new ssrc=1 pkt_size=188", NULL },
    { OUT, "rtp://h:5004 rtp=keep ssrc=1", "\"rtp=keep\" keeps the SSRC, for "
      "\"ssrc\" use \"rtp=new\"" },
    { OUT, "rtp://h:5004 rtp=keep pkt_size=188", "\"rtp=keep\" keeps the "
      "datagrams, for \"pkt_size\" use \"rtp=new\"" },
    { OUT, "rtp://h:5004 pace=fast", "\"pace\" must be \"off\" or \"pcr\"" },

    { 0, NULL, NULL }
};


/* what is right, and the line that it becomes in a flow with an SRT source */

static definition_case_t  lines[] = {

    { IN, "srt://:9000",
      "source primary source listener srt://:9000 rcvlatency=120 "
      "peerlatency=120" },
    { IN, "SRT://:9000/",
      "source primary source listener srt://:9000 rcvlatency=120 "
      "peerlatency=120" },
    { IN, "srt://0.0.0.0:9000?",
      "source primary source listener srt://:9000 rcvlatency=120 "
      "peerlatency=120" },
    { IN, "srt://[::]:9000?&&",
      "source primary source listener srt://[::]:9000 rcvlatency=120 "
      "peerlatency=120" },
    { IN, "srt://127.0.0.1:9000 mode=server backup off name=a.b",
      "source backup a.b listener srt://127.0.0.1:9000 off rcvlatency=120 "
      "peerlatency=120" },
    { IN, "srt://Host.Example:9000",
      "source primary source caller srt://host.example:9000 rcvlatency=120 "
      "peerlatency=120" },
    { IN, "srt://[2001:DB8:0::1]:9000 adapter=::1 port=7000",
      "source primary source caller srt://[2001:db8::1]:9000 rcvlatency=120 "
      "peerlatency=120 adapter=::1 port=7000" },
    { IN, "srt://h:9000?mode=rendezvous&latency=1s",
      "source primary source rendezvous srt://h:9000 rcvlatency=1000 "
      "peerlatency=1000" },
    { IN, "srt://:9000 latency=50 rcvlatency=80ms",
      "source primary source listener srt://:9000 rcvlatency=80 "
      "peerlatency=50" },
    { IN, "srt://:9000?streamid=#!::r=a+b%40c,m=publish",
      "source primary source listener srt://:9000 rcvlatency=120 "
      "peerlatency=120 streamid=#!::r=a+b@c,m=publish" },
    { IN, "srt://:9000 streamid=%41 passphrase=a\tb%c\"d;efg pbkeylen=32",
      "source primary source listener srt://:9000 rcvlatency=120 "
      "peerlatency=120 passphrase=a%20b%25c\"d;efg pbkeylen=32 "
      "streamid=%2541" },
    { IN, "srt://h:9000 streamid=#!::m=request,u=x",
      "source primary source caller srt://h:9000 rcvlatency=120 "
      "peerlatency=120 streamid=#!::m=request,u=x" },
    { IN, "srt://:9000 allow=10.0.0.0/8,2001:db8::/32,::1,1.2.3.4",
      "source primary source listener srt://:9000 "
      "allow=10.0.0.0/8,2001:db8::/32,::1/128,1.2.3.4/32 rcvlatency=120 "
      "peerlatency=120" },
    { IN, "srt://:9000 allow=all max_bandwidth=2m description=A\tb\xc3\xa9",
      "source primary source listener srt://:9000 description=A%20b%C3%A9 "
      "max_bandwidth=2000000 exceed=drop rcvlatency=120 peerlatency=120" },
    { IN, "srt://:9000 maxbw=-1 inputbw=0 mininputbw=1000000 oheadbw=5 "
      "conntimeo=3s peeridletimeo=500 lossmaxttl=0 "
      "packetfilter=fec,cols:10,rows:-5,layout:even,arq:always "
      "payloadsize=1316 mss=1500 fc=8192 rcvbuf=1000000 sndbuf=1000000 "
      "tlpktdrop=no nakreport=TRUE kmrefreshrate=1000 enforcedencryption=on "
      "minversion=1.3.0 ipttl=64 iptos=0xB8 transtype=live",
      "source primary source listener srt://:9000 rcvlatency=120 "
      "peerlatency=120 inputbw=0 mininputbw=1000000 oheadbw=5 "
      "conntimeo=3000 peeridletimeo=500 lossmaxttl=0 "
      "packetfilter=fec,cols:10,rows:-5,layout:even,arq:always "
      "payloadsize=1316 mss=1500 fc=8192 rcvbuf=1000000 sndbuf=1000000 "
      "tlpktdrop=0 nakreport=1 kmrefreshrate=1000 enforcedencryption=1 "
      "minversion=1.3.0 ipttl=64 iptos=184" },
    { OUT, "srt://:9100 max_peers=10 min_peers=1 allow=10.0.0.0/8",
      "output primary x listener srt://:9100 allow=10.0.0.0/8 max_peers=10 "
      "min_peers=1 rcvlatency=120 peerlatency=120" },
    { OUT, "srt://h:9100 max_peers=10", NULL },
    { IN, "rtp://:5004",
      "source primary source receive rtp://:5004 buffer=50 "
      "buffer_mode=release timeout=2000" },
    { IN, "rtp://@:5004 buffer=0 buffer_mode=constant timeout=5s "
      "allow=10.1.2.3",
      "source primary source receive rtp://:5004 allow=10.1.2.3/32 buffer=0 "
      "buffer_mode=constant timeout=5000" },
    { IN, "udp://@239.1.1.1:5004 interface=eth0 source=10.0.0.1",
      "source primary source multicast udp://239.1.1.1:5004 interface=eth0 "
      "source=10.0.0.1 timeout=2000" },
    { IN, "udp://239.1.1.1:5004 interface=10.0.0.1",
      "source primary source multicast udp://239.1.1.1:5004 "
      "interface=10.0.0.1 timeout=2000" },
    { IN, "udp://[FF15::1]:5004 interface=lo source=2001:db8::1",
      "source primary source multicast udp://[ff15::1]:5004 interface=lo "
      "source=2001:db8::1 timeout=2000" },
    { IN, "udp://[::1]:5004",
      "source primary source receive udp://[::1]:5004 timeout=2000" },
    { OUT, "udp://239.1.1.1:5004?ttl=0&tos=0x10&pkt_size=1316&pace=off",
      "output primary x send udp://239.1.1.1:5004 ttl=0 tos=16 pkt_size=1316 "
      "pace=off" },
    { OUT, "udp://h:5004", "output primary x send udp://h:5004 pace=pcr" },
    { OUT, "rtp://h:5004 ssrc=0 ttl=16",
      "output primary x send rtp://h:5004 ttl=16 pt=33 ssrc=0 rtp=new "
      "pace=pcr" },
    { OUT, "rtp://h:5004 pt=96",
      "output primary x send rtp://h:5004 pt=96 rtp=new pace=pcr" },

    { 0, NULL, NULL }
};


static void
init_flow(ngx_pool_t *pool, ngx_mc_flow_def_t *flow, const char *name,
    ngx_uint_t line)
{
    ngx_memzero(flow, sizeof(ngx_mc_flow_def_t));

    flow->name = shim_str(name);
    flow->latency = 120;
    flow->batch = 2;
    flow->file = shim_str("nginx.conf");
    flow->line = line;

    (void) ngx_array_init(&flow->sources, pool, 2,
                          sizeof(ngx_mc_endpoint_def_t));
    (void) ngx_array_init(&flow->outputs, pool, 4,
                          sizeof(ngx_mc_endpoint_def_t));
}


static ngx_mc_endpoint_def_t *
add(ngx_mc_parse_t *p, ngx_mc_flow_def_t *flow, ngx_uint_t direction,
    const char *name, const char *words)
{
    ngx_mc_endpoint_def_t  *def;

    def = ngx_array_push((direction == IN) ? &flow->sources : &flow->outputs);

    if (parse_words(p, def, direction, words) != NGX_OK) {
        ok(0, "%s: %s", words, p->err);
        exit(1);
    }

    if (name) {
        def->name = shim_str(name);
    }

    def->file = shim_str("nginx.conf");
    def->line = flow->line + flow->sources.nelts + flow->outputs.nelts;

    return def;
}


static void
test_mistakes(void)
{
    ngx_int_t               rc;
    ngx_mc_parse_t          p;
    definition_case_t      *c;
    ngx_mc_endpoint_def_t   def;

    ngx_memzero(&p, sizeof(p));

    for (c = mistakes; c->words; c++) {

        p.pool = ngx_create_pool(4096, &shim_log);
        p.cf = shim_conf(p.pool, "nginx.conf", 1);

        rc = parse_words(&p, &def, c->direction, c->words);

        if (c->expected == NULL) {
            is_c(p.err, "", "%s is right", c->words);

        } else if (rc == NGX_OK) {
            ok(0, "%s passes", c->words);

        } else {
            is_c(p.err, c->expected, "%s", c->words);
        }

        ngx_destroy_pool(p.pool);
    }
}


static void
test_lines(void)
{
    ngx_str_t               text;
    ngx_mc_parse_t          p;
    ngx_mc_flow_def_t       flow, copy;
    definition_case_t      *c;
    ngx_mc_endpoint_def_t  *def;

    ngx_memzero(&p, sizeof(p));

    for (c = lines; c->words; c++) {

        p.pool = ngx_create_pool(4096, &shim_log);

        init_flow(p.pool, &flow, "a", 1);

        def = ngx_array_push(c->direction == IN ? &flow.sources
                                                : &flow.outputs);

        if (parse_words(&p, def, c->direction, c->words) != NGX_OK) {
            ok(c->expected == NULL, "%s: %s", c->words, p.err);
            ngx_destroy_pool(p.pool);
            continue;
        }

        if (c->direction == OUT) {
            def->name = shim_str("x");
            add(&p, &flow, IN, NULL, "srt://:9000");
        }

        if (ngx_mc_def_write(&p, &flow) != NGX_OK) {
            ok(0, "%s written: %s", c->words, p.err);
            exit(1);
        }

        is(def->text, c->expected, "%s", c->words);

        text = flow.text;

        if (ngx_mc_def_read(&p, &copy, &text) != NGX_OK
            || ngx_mc_def_write(&p, &copy) != NGX_OK)
        {
            ok(0, "%s read: %s", c->words, p.err);
            exit(1);
        }

        ok(copy.text.len == text.len
           && memcmp(copy.text.data, text.data, text.len) == 0,
           "%s is read back", c->words);

        ngx_destroy_pool(p.pool);
    }
}


static void
test_flow_text(void)
{
    ngx_str_t               all;
    ngx_mc_parse_t          p;
    ngx_mc_flow_def_t       flow, copy;
    ngx_mc_endpoint_def_t  *def;

    ngx_memzero(&p, sizeof(p));
    p.pool = ngx_create_pool(4096, &shim_log);

    init_flow(p.pool, &flow, "studio-a", 1);

    flow.title = shim_str("Studio A 100%");
    flow.description = shim_str("x");
    flow.stopped = 1;
    flow.batch = 0;
    flow.max_bandwidth = 20000000;
    flow.exceed = NGX_MC_EXCEED_ALARM;
    flow.latency = 200;

    all = shim_str("10.0.0.0/8");
    ok(ngx_mc_def_add_cidr(&p, &flow.allow, &all) == NGX_OK, "a CIDR");

    add(&p, &flow, IN, NULL, "rtp://:5004");
    add(&p, &flow, IN, NULL, "srt://h:5004 backup max_bandwidth=0");
    add(&p, &flow, OUT, "keep", "rtp://h:5004");
    add(&p, &flow, OUT, "keep", "rtp://h:5004 backup");
    add(&p, &flow, OUT, "new", "rtp://h:5004 ssrc=7");
    add(&p, &flow, OUT, "size", "rtp://h:5004 pkt_size=188");
    add(&p, &flow, OUT, "srt", "srt://:5004");

    is_num(ngx_mc_def_write(&p, &flow), NGX_OK, "a flow is written");

    is(flow.text,
       "flow studio-a\n"
       "title Studio%20A%20100%25\n"
       "description x\n"
       "state off\n"
       "batch 0\n"
       "bandwidth 20000000 alarm\n"
       "source primary source receive rtp://:5004 allow=10.0.0.0/8 "
       "max_bandwidth=20000000 exceed=alarm buffer=50 buffer_mode=release "
       "timeout=2000\n"
       "source backup source caller srt://h:5004 rcvlatency=200 "
       "peerlatency=200\n"
       "output primary keep send rtp://h:5004 rtp=keep pace=off\n"
       "output backup keep send rtp://h:5004 pt=33 rtp=new pace=pcr\n"
       "output primary new send rtp://h:5004 pt=33 ssrc=7 rtp=new pace=off\n"
       "output primary size send rtp://h:5004 pt=33 pkt_size=188 rtp=new "
       "pace=off\n"
       "output primary srt listener srt://:5004 rcvlatency=200 "
       "peerlatency=200\n",
       "the text of a flow");

    is_num(ngx_mc_def_read(&p, &copy, &flow.text), NGX_OK, "it is read");

    is(copy.name, "studio-a", "name");
    is(copy.title, "Studio A 100%", "title");
    is(copy.description, "x", "description");
    is_num(copy.stopped, 1, "state");
    is_num(copy.batch, 0, "batch");
    is_num(copy.max_bandwidth, 20000000, "bandwidth");
    is_num(copy.exceed, NGX_MC_EXCEED_ALARM, "policy");
    is_num(copy.sources.nelts, 2, "sources");
    is_num(copy.outputs.nelts, 5, "outputs");

    def = copy.sources.elts;

    is_num(def[0].protocol, NGX_MC_RTP, "protocol");
    is_num(def[0].port, 5004, "port");
    is_num(def[0].host.len, 0, "host");
    is(def[0].url, "rtp://:5004", "url");
    is(def[0].name, "source", "name of a source");
    is_num(def[0].mode, NGX_MC_MODE_RECEIVE, "mode");
    is_num(def[0].params.allow->nelts, 1, "allow");
    is_num(def[0].params.max_bandwidth, 20000000, "max_bandwidth");
    is_num(def[0].params.exceed, NGX_MC_EXCEED_ALARM, "exceed");
    is_num(def[0].params.buffer, 50, "buffer");
    is_num(def[0].params.latency, NGX_CONF_UNSET, "latency");
    is_num(def[1].pipeline, NGX_MC_BACKUP, "pipeline");
    is_num(def[1].mode, NGX_MC_MODE_CALLER, "mode of a caller");
    is_num(def[1].params.max_bandwidth, 0, "no max_bandwidth");
    is_num(def[1].params.rcvlatency, 200, "rcvlatency");
    ok(def[1].params.allow == NULL, "callers inherit no list");
    is(def[1].text, "source backup source caller srt://h:5004 rcvlatency=200 "
       "peerlatency=200", "text of a source");

    flow.latency = 70000;
    flow.outputs.nelts = 0;
    add(&p, &flow, OUT, "srt", "srt://:5004");
    is_num(ngx_mc_def_write(&p, &flow), NGX_ERROR, "too long an mc_latency");
    is_c(p.err, "\"mc_latency\" must be at most 65535ms", "is told");

    ngx_destroy_pool(p.pool);
}


static void
test_bad_text(void)
{
    ngx_str_t           text;
    ngx_uint_t          i;
    ngx_mc_parse_t      p;
    ngx_mc_flow_def_t   flow;
    static const char  *bad[] = {
        "",
        "flow a",
        "\n",
        "flow\n",
        "batch 2\n",
        "flow a b\n",
        "flow a\ngroup a\n",
        "flow a\nbatch x\n",
        "flow a\nbatch -1\n",
        "flow a\nstate on\n",
        "flow a\nbandwidth 0 drop\n",
        "flow a\nbandwidth 1\n",
        "flow a\nbandwidth 1 never\n",
        "flow a\ntitle a%\n",
        "flow a\ntitle a%2\n",
        "flow a\nnothing a\n",
        "flow a\nsource\n",
        "flow a\nsource primary\n",
        "flow a\nsource primary a\n",
        "flow a\nsource primary a listener\n",
        "flow a\nsource third a listener srt://:9000\n",
        "flow a\nsource primary a listens srt://:9000\n",
        "flow a\nsource primary a listener srt://:9000?latency=5\n",
        "flow a\nsource primary a listener srt://\n",
        "flow a\nsource primary a listener srt://:9000 x\n",
        "flow a\nsource primary a listener srt://:9000 x=1\n",
        "flow a\nsource primary a listener srt://:9000 latency=1\n",
        "flow a\nsource primary a listener srt://:9000 "
            "passphrase_file=/x\n",
        "flow a\nsource primary a listener srt://:9000  off\n",
        "flow a\nsource primary a listener srt://:9000 \n",
        "flow a\nsource primary a listener srt://:9000 mss=x\n",
        "flow a\nsource primary a listener srt://:9000 streamid=%x\n",
        NULL
    };

    ngx_memzero(&p, sizeof(p));

    for (i = 0; bad[i]; i++) {
        p.pool = ngx_create_pool(4096, &shim_log);
        p.err[0] = '\0';

        text = shim_str(bad[i]);

        ok(ngx_mc_def_read(&p, &flow, &text) == NGX_ERROR && p.err[0],
           "bad text %u: %s", (unsigned) i, p.err);

        ngx_destroy_pool(p.pool);
    }
}


static void
test_values(void)
{
    size_t                  i;
    ngx_str_t               s;
    ngx_mc_parse_t          p;
    ngx_array_t            *cidrs;
    ngx_mc_param_t         *prm;
    static struct {
        const char         *text;
        int64_t             rate;
    } rates[] = {
        { "0", 0 }, { "1", 1 }, { "20m", 20000000 }, { "20M", 20000000 },
        { "800k", 800000 }, { "1g", 1000000000 }, { "1000g", 1000000000000 },
        { "1001g", NGX_ERROR }, { "", NGX_ERROR }, { "k", NGX_ERROR },
        { "1.5m", NGX_ERROR }, { "1mk", NGX_ERROR }, { "-1", NGX_ERROR },
        { NULL, 0 }
    };

    for (i = 0; rates[i].text; i++) {
        s = shim_str(rates[i].text);
        is_num(ngx_mc_parse_rate(&s), rates[i].rate, "rate \"%s\"",
               rates[i].text);
    }

    s = shim_str("a.B_9-");
    is_num(ngx_mc_def_check_name(&s), NGX_OK, "a name");
    s = shim_str("...");
    is_num(ngx_mc_def_check_name(&s), NGX_OK, "three dots");
    s = shim_str("");
    is_num(ngx_mc_def_check_name(&s), NGX_DECLINED, "no name");
    s = shim_str(".");
    is_num(ngx_mc_def_check_name(&s), NGX_DECLINED, "a dot");
    s = shim_str("0123456789012345678901234567890123456789012345678901234567"
                 "8901234");
    is_num(ngx_mc_def_check_name(&s), NGX_DECLINED, "65 characters");
    s.len--;
    is_num(ngx_mc_def_check_name(&s), NGX_OK, "64 characters");

    s = shim_str("\xf0\x9f\x8e\xa5 \xc3\xa9");
    is_num(ngx_mc_def_check_text(&s), NGX_OK, "UTF-8");
    s = shim_str("\xed\xa0\x80");
    is_num(ngx_mc_def_check_text(&s), NGX_DECLINED, "a surrogate");
    s = shim_str("\xc2\x80");
    is_num(ngx_mc_def_check_text(&s), NGX_DECLINED, "a C1 control");
    s = shim_str("a\xf0\x9f");
    is_num(ngx_mc_def_check_text(&s), NGX_DECLINED, "cut short");

    ngx_memzero(&p, sizeof(p));
    p.pool = ngx_create_pool(4096, &shim_log);
    p.cf = shim_conf(p.pool, "nginx.conf", 7);

    shim_log_reset();
    cidrs = NULL;
    s = shim_str("10.0.0.1/8");
    is_num(ngx_mc_def_add_cidr(&p, &cidrs, &s), NGX_OK, "low bits pass");
    is_c(shim_logged, "[warn] low address bits of 10.0.0.1/8 are meaningless "
         "in nginx.conf:7\n", "with a warning");

    s = shim_str("all");
    is_num(ngx_mc_def_add_cidr(&p, &cidrs, &s), NGX_ERROR, "all after one");
    s = shim_str("10.0.0.0/8/8");
    is_num(ngx_mc_def_add_cidr(&p, &cidrs, &s), NGX_ERROR, "a bad one");
    is_c(p.err, "\"10.0.0.0/8/8\" must be an address or like "
         "\"192.0.2.0/24\" or \"2001:db8::/32\", and \"all\" stands alone",
         "is told");

    cidrs = NULL;
    s = shim_str("all");
    is_num(ngx_mc_def_add_cidr(&p, &cidrs, &s), NGX_OK, "all");
    ok(cidrs && cidrs->nelts == 0, "is an empty array");

    for (i = 0, prm = ngx_mc_params; prm->name.len; prm++) {
        i++;
    }

    ok(i <= NGX_MC_GIVEN_WORDS * 64, "%d parameters have a bit each",
       (int) i);

    ngx_destroy_pool(p.pool);
}


static void
test_warnings(void)
{
    ngx_mc_parse_t         p;
    ngx_mc_endpoint_def_t  def;

    ngx_memzero(&p, sizeof(p));
    p.pool = ngx_create_pool(4096, &shim_log);
    p.cf = shim_conf(p.pool, "nginx.conf", 7);

    shim_log_reset();
    parse_words(&p, &def, IN, "srt://:9000 latency=40000");
    is_c(shim_logged, "[warn] the number of \"latency\" is milliseconds here, "
         "while FFmpeg counts in microseconds; with a unit, \"40s\", it is "
         "beyond doubt in nginx.conf:7\n", "a bare number above 30000");

    shim_log_reset();
    parse_words(&p, &def, IN, "srt://:9000 latency=40s conntimeo=30000");
    is_c(shim_logged, "", "but not with a unit, nor below");

    shim_log_reset();
    parse_words(&p, &def, IN, "srt://:9000?linger=5&transtype=live&tsbpd=1");
    is_c(shim_logged, "[warn] parameter \"linger\" has no meaning for live "
         "streams, it is ignored in nginx.conf:7\n"
         "[warn] parameter \"tsbpd\" has no meaning for live streams, it is "
         "ignored in nginx.conf:7\n", "names of libsrt's for files");

    shim_log_reset();
    parse_words(&p, &def, IN, "rtp://:5004 allow=1.2.3.4,10.0.0.1/8");
    is_c(shim_logged, "[warn] low address bits of network 2 of \"allow\" are "
         "meaningless in nginx.conf:7\n", "low bits of a network");

    ngx_destroy_pool(p.pool);
}


static void
test_secret_files(void)
{
    int                    fd;
    char                   words[256], name[] = "/tmp/mc-unit-XXXXXX";
    ssize_t                n;
    ngx_uint_t             i;
    ngx_mc_parse_t         p;
    ngx_mc_endpoint_def_t  def;
    static struct {
        const char        *text;
        const char        *passphrase;
        const char        *err;
    } files[] = {
        { "0123456789", "0123456789", NULL },
        { "0123456789\n", "0123456789", NULL },
        { "0123456789\r\n", "0123456789", NULL },
        { "0123 456789 \nsecond line\n", "0123 456789 ", NULL },
        { "012345678\n", NULL, "the first line of the file of "
          "\"passphrase_file\" must be 10 to 79 characters long" },
        { "\n0123456789\n", NULL, "the first line of the file of "
          "\"passphrase_file\" must be 10 to 79 characters long" },
        { "0123456789\t\n", NULL, "\"passphrase_file\" has a control "
          "character in it" },
        { "", NULL, "the first line of the file of "
          "\"passphrase_file\" must be 10 to 79 characters long" },
        { NULL, NULL, NULL }
    };

    ngx_memzero(&p, sizeof(p));

    fd = mkstemp(name);

    for (i = 0; files[i].text; i++) {

        n = ftruncate(fd, 0);
        n = pwrite(fd, files[i].text, strlen(files[i].text), 0);
        is_num(n, (ssize_t) strlen(files[i].text), "a file is written");

        p.pool = ngx_create_pool(4096, &shim_log);
        p.cf = shim_conf(p.pool, "nginx.conf", 7);

        /* relative to the prefix, which is "/" */
        sprintf(words, "srt://:9000 passphrase_file=%s",
                name + (i ? 0 : 1));

        parse_words(&p, &def, IN, words);

        if (files[i].err) {
            is_c(p.err, files[i].err, "file %d", (int) i);

        } else {
            is_c(p.err, "", "file %d is right", (int) i);
            is(def.params.passphrase, files[i].passphrase, "file %d",
               (int) i);
        }

        ngx_destroy_pool(p.pool);
    }

    p.pool = ngx_create_pool(4096, &shim_log);
    p.cf = NULL;
    parse_words(&p, &def, IN, words);
    is_c(p.err, "\"passphrase_file\" is for the configuration file",
         "no files without a configuration");
    ngx_destroy_pool(p.pool);

    close(fd);
    unlink(name);
}


/*
 * Flows: each line is "flow NAME", "in WORDS" or "out NAME WORDS"; lines are
 * numbered from 1, as in the messages that are expected.
 */

static struct {
    const char  *name;
    const char  *conf;
    const char  *logged;
    const char  *groups;               /* of the flows, in order */
} flows[] = {

    { "a plain flow",
      "flow a\nin srt://:9000\nout x srt://h:9000\n",
      "", "a" },

    { "flows of one name",
      "flow a\nin srt://:9000\nout x srt://h:1\n"
      "flow b\nin srt://:9001\nout x srt://h:1\n"
      "flow a\nin srt://:9002\nout x srt://h:1\n",
      "[emerg] duplicate flow \"a\", the name is taken in nginx.conf:1 in "
      "nginx.conf:7\n", "a b a" },

    { "no source",
      "flow a\nout x srt://h:1\n",
      "[emerg] flow \"a\" has no source, add \"mc_source\" in "
      "nginx.conf:1\n", "a" },

    { "only a backup source",
      "flow a\nin srt://:9000 backup\nout x srt://h:1\n",
      "[emerg] flow \"a\" has no primary source, remove \"backup\" or add "
      "another \"mc_source\" in nginx.conf:2\n", "a" },

    { "two primary sources",
      "flow a\nin srt://:9000\nin srt://:9001\nout x srt://h:1\n",
      "[emerg] flow \"a\" has a primary source in nginx.conf:2 already; a "
      "second source is marked \"backup\" in nginx.conf:3\n", "a" },

    { "two backup sources",
      "flow a\nin srt://:9000\nin srt://:9001 backup\n"
      "in srt://:9002 backup\nout x srt://h:1\n",
      "[emerg] flow \"a\" has a backup source in nginx.conf:3 already in "
      "nginx.conf:4\n", "a" },

    { "no outputs",
      "flow a\nin srt://:9000\n",
      "[warn] flow \"a\" has no output, it stays idle in nginx.conf:1\n",
      "a" },

    { "an open listening output",
      "flow a\nin srt://:9000\nout x srt://:9100\n"
      "out y srt://:9101 allow=all\nout z srt://:9102 allow=10.0.0.0/8\n"
      "out q srt://:9103 passphrase=0123456789\n",
      "[warn] anyone may receive from output \"x\" of flow \"a\", it has "
      "neither \"allow\" nor \"passphrase\" in nginx.conf:3\n"
      "[warn] anyone may receive from output \"y\" of flow \"a\", it has "
      "neither \"allow\" nor \"passphrase\" in nginx.conf:4\n", "a" },

    { "two outputs of one name",
      "flow a\nin srt://:9000\nout x srt://h:1\nout y srt://h:1\n"
      "out x srt://h:2\n",
      "[emerg] output \"x\" of flow \"a\" has a primary destination in "
      "nginx.conf:3 already; another output needs another name in "
      "nginx.conf:5\n", "a" },

    { "two backup destinations",
      "flow a\nin srt://:9000\nin srt://h:1 backup\nout x srt://h:1\n"
      "out x srt://h:2 backup\nout x srt://h:3 backup\n",
      "[emerg] output \"x\" of flow \"a\" has a backup destination in "
      "nginx.conf:5 already in nginx.conf:6\n", "a" },

    { "no primary destination, no backup source",
      "flow a\nin srt://:9000\nout x srt://h:2 backup\n",
      "[emerg] the backup destination of output \"x\" has no source: flow "
      "\"a\" needs an \"mc_source\" with \"backup\" in nginx.conf:3\n"
      "[emerg] output \"x\" of flow \"a\" has no primary destination, add one "
      "without \"backup\" in nginx.conf:3\n", "a" },

    { "destinations of two protocols",
      "flow a\nin srt://:9000\nin srt://:9001 backup\n"
      "out x rtp://h:2 backup\nout x srt://h:1\n",
      "[emerg] the backup destination of output \"x\" of flow \"a\" must be "
      "\"srt://\" like the primary one in nginx.conf:5 in nginx.conf:4\n",
      "a" },

    { "rtp=keep without RTP",
      "flow a\nin srt://:9000\nout x rtp://h:1 rtp=keep\n"
      "flow b\nin rtp://:9000 allow=all\nout x rtp://h:1 rtp=keep\n",
      "[emerg] \"rtp=keep\" of output \"x\" of flow \"a\" has nothing to "
      "keep, as the source is \"srt://\"; use \"rtp=new\" in nginx.conf:3\n"
      "[emerg] UDP port 9000 of the primary source of flow \"b\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; use another port in "
      "nginx.conf:5\n", "a b" },

    /* ports */

    { "listeners with streamids share a port",
      "flow c\nin srt://:9000 streamid=c\nout x srt://h:1\n"
      "flow a\nin srt://:9000 streamid=#!::r=a\n"
      "out x srt://:9000 streamid=a passphrase=0123456789\n"
      "flow b\nin srt://:9001\nout x srt://h:1\n",
      "", "a a b" },

    { "groups are transitive",
      "flow d\nin srt://:9000 streamid=d\n"
      "out x srt://:9001 streamid=d allow=::1\n"
      "flow c\nin srt://:9001 streamid=c\n"
      "out x srt://h:1 port=9002\n"
      "flow b\nin srt://h:1 port=9002\nout x rtp://h:1\n"
      "flow a\nin srt://[::]:9000 streamid=a\nout x rtp://h:1\n",
      "", "b b b a" },

    { "two listeners without streamids",
      "flow a\nin srt://:9000\nout x srt://h:1\n"
      "flow b\nin srt://:9000\nout x srt://h:1\n",
      "[emerg] UDP port 9000 of the primary source of flow \"b\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; to share it, give "
      "each a \"streamid\" of its own in nginx.conf:5\n", "a a" },

    { "one without a streamid",
      "flow a\nin srt://:9000\nout x srt://h:1\n"
      "flow b\nin srt://:9000 streamid=b\nout x srt://h:1\n"
      "flow c\nin srt://:9000 streamid=c\nout x srt://h:1\n",
      "[emerg] UDP port 9000 of the primary source of flow \"a\" is taken by "
      "the primary source of flow \"b\" in nginx.conf:5; to share it, give "
      "each a \"streamid\" of its own in nginx.conf:2\n", "a a a" },

    { "two equal streamids",
      "flow a\nin srt://:9000 streamid=x\nout x srt://h:1\n"
      "flow b\nin srt://:9000 streamid=#!::m=publish,r=x\nout x srt://h:1\n",
      "[emerg] UDP port 9000 of the primary source of flow \"b\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; each needs a "
      "\"streamid\" of its own, these are the same in nginx.conf:5\n",
      "a a" },

    { "a listener of any and of one address",
      "flow a\nin srt://127.0.0.1:9000 mode=listener streamid=a\n"
      "out x srt://h:1\n"
      "flow b\nin srt://:9000 streamid=b\nout x srt://h:1\n"
      "flow c\nin srt://127.0.0.2:9001 mode=listener\nout x srt://h:1\n"
      "flow d\nin srt://127.0.0.1:9001 mode=listener\nout x srt://h:1\n",
      "[emerg] UDP port 9000 of the primary source of flow \"b\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; \"any address\" and "
      "one address exclude each other in nginx.conf:5\n", "a b c d" },

    { "IPv4 and IPv6 are two ports",
      "flow a\nin srt://:9000\nout x srt://h:1\n"
      "flow b\nin srt://[::]:9000\nout x srt://h:1\n",
      "", "a b" },

    { "options of a port",
      "flow a\nin srt://:9000 streamid=a mss=1400 latency=1s\n"
      "out x srt://h:1\n"
      "flow b\nin srt://:9000 streamid=b mss=1400 iptos=8\n"
      "out x srt://h:1\n"
      "flow c\nin srt://:9000 streamid=c\nout x srt://h:1\n",
      "[emerg] \"iptos\" is a matter of the whole port 9000: it must be as in "
      "the primary source of flow \"a\" in nginx.conf:2 in nginx.conf:5\n"
      "[emerg] \"mss\" is a matter of the whole port 9000: it must be as in "
      "the primary source of flow \"a\" in nginx.conf:2 in nginx.conf:8\n",
      "a a a" },

    { "options of a port that are no numbers",
      "flow a\nin srt://:9000 streamid=a packetfilter=fec,cols:10 "
      "enforcedencryption=no\nout x srt://h:1\n"
      "flow b\nin srt://:9000 streamid=b packetfilter=fec,cols:11\n"
      "out x srt://h:1\n",
      "[emerg] \"packetfilter\" is a matter of the whole port 9000: it must "
      "be as in the primary source of flow \"a\" in nginx.conf:2 in "
      "nginx.conf:5\n"
      "[emerg] \"enforcedencryption\" is a matter of the whole port 9000: it "
      "must be as in the primary source of flow \"a\" in nginx.conf:2 in "
      "nginx.conf:5\n", "a a" },

    { "the order of names does not matter",
      "flow b\nin srt://:9000\nout x srt://h:1\n"
      "flow a\nin srt://:9000\nout x srt://h:1\n",
      "[emerg] UDP port 9000 of the primary source of flow \"a\" is taken by "
      "the primary source of flow \"b\" in nginx.conf:2; to share it, give "
      "each a \"streamid\" of its own in nginx.conf:5\n", "a a" },

    { "callers share a port",
      "flow a\nin srt://:9000\nout x srt://h:1 port=7000\n"
      "out y srt://h:2 port=7000 iptos=9\n"
      "out z srt://h:2 port=7000 adapter=127.0.0.1\n"
      "out q srt://[::1]:2 port=7000\n",
      "[emerg] \"iptos\" is a matter of the whole port 7000: it must be as in "
      "the output \"x\" of flow \"a\" in nginx.conf:3 in nginx.conf:4\n"
      "[emerg] UDP port 7000 of the output \"z\" of flow \"a\" is taken by "
      "the output \"x\" of flow \"a\" in nginx.conf:3; callers of one port "
      "need the same \"adapter\" in nginx.conf:5\n", "a" },

    { "a caller and a listener",
      "flow a\nin srt://:9000\nout x srt://h:1 port=9000\n",
      "[emerg] UDP port 9000 of the output \"x\" of flow \"a\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; use another port in "
      "nginx.conf:3\n", "a" },

    { "a rendezvous stands alone",
      "flow a\nin srt://h:9000 mode=rendezvous\n"
      "out x srt://g:9000 mode=rendezvous\n"
      "out y srt://g:9000 mode=rendezvous port=9001\n"
      "out z srt://g:1 port=9001 adapter=127.0.0.1\n",
      "[emerg] UDP port 9000 of the output \"x\" of flow \"a\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; use another port in "
      "nginx.conf:3\n"
      "[emerg] UDP port 9001 of the output \"z\" of flow \"a\" is taken by "
      "the output \"y\" of flow \"a\" in nginx.conf:4; use another port in "
      "nginx.conf:5\n", "a" },

    { "unicast sources",
      "flow a\nin rtp://:5004\nin udp://127.0.0.1:5004 backup\n"
      "out x srt://h:1\n"
      "flow b\nin rtp://127.0.0.1:5006\nin udp://127.0.0.2:5006 backup\n"
      "out x srt://h:1\n"
      "flow c\nin rtp://127.0.0.1:5006\nout x srt://h:1\n",
      "[emerg] UDP port 5004 of the backup source of flow \"a\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; \"any address\" and "
      "one address exclude each other in nginx.conf:3\n"
      "[emerg] UDP port 5006 of the primary source of flow \"c\" is taken by "
      "the primary source of flow \"b\" in nginx.conf:6; use another port in "
      "nginx.conf:10\n", "a b c" },

    { "multicast sources",
      "flow a\nin rtp://239.1.1.1:5004\nin udp://239.1.1.2:5004 backup\n"
      "out x srt://h:1\n"
      "flow b\nin rtp://239.1.1.1:5004 source=10.0.0.1\n"
      "in rtp://239.1.1.1:5004 source=10.0.0.2 backup\nout x srt://h:1\n"
      "flow c\nin rtp://239.1.1.1:5004 interface=eth0\n"
      "in rtp://239.1.1.1:5004 interface=eth0 backup\nout x srt://h:1\n"
      "flow d\nin rtp://127.0.0.1:5004\nout x srt://h:1\n",
      "[emerg] UDP port 5004 of the backup source of flow \"c\" is taken by "
      "the primary source of flow \"c\" in nginx.conf:10; a backup needs "
      "another group, port, \"source\" or \"interface\" in nginx.conf:11\n",
      "a b c d" },

    { "multicast and any address",
      "flow a\nin rtp://239.1.1.1:5004\nin udp://:5004 backup\n"
      "out x srt://h:1\n",
      "[emerg] UDP port 5004 of the backup source of flow \"a\" is taken by "
      "the primary source of flow \"a\" in nginx.conf:2; use another port in "
      "nginx.conf:3\n", "a" },

    { NULL, NULL, NULL, NULL }
};


static int
cmp_flows(const void *one, const void *two)
{
    ngx_mc_flow_def_t  *a, *b;

    a = *(ngx_mc_flow_def_t **) one;
    b = *(ngx_mc_flow_def_t **) two;

    return (int) ngx_memn2cmp(a->name.data, b->name.data, a->name.len,
                              b->name.len);
}


static void
run_flows(const char *name, const char *conf, const char *logged,
    const char *groups)
{
    char                   *copy, *line, *next, *words, *rc, buf[1024];
    ngx_uint_t              i, n;
    ngx_conf_t             *cf;
    ngx_array_t             array, sorted;
    ngx_mc_parse_t          p;
    ngx_mc_flow_def_t      *flow, **f;
    ngx_mc_endpoint_def_t  *def;

    ngx_memzero(&p, sizeof(p));
    p.pool = ngx_create_pool(4096, &shim_log);

    cf = shim_conf(p.pool, "wrong.conf", 99);

    (void) ngx_array_init(&array, p.pool, 4, sizeof(ngx_mc_flow_def_t *));

    copy = ngx_pnalloc(p.pool, strlen(conf) + 1);
    strcpy(copy, conf);

    flow = NULL;

    for (line = copy, n = 1; *line; line = next, n++) {

        next = strchr(line, '\n');
        *next++ = '\0';

        if (strncmp(line, "flow ", 5) == 0) {
            f = ngx_array_push(&array);
            *f = ngx_palloc(p.pool, sizeof(ngx_mc_flow_def_t));
            flow = *f;
            init_flow(p.pool, flow, line + 5, n);
            continue;
        }

        if (strncmp(line, "in ", 3) == 0) {
            def = add(&p, flow, IN, NULL, line + 3);

        } else {
            words = strchr(line + 4, ' ');
            *words++ = '\0';
            def = add(&p, flow, OUT, line + 4, words);
        }

        def->line = n;
    }

    /* the place of a mistake does not depend on the order of the array */

    sorted = array;
    sorted.elts = ngx_palloc(p.pool, array.nelts * sizeof(flow));
    memcpy(sorted.elts, array.elts, array.nelts * sizeof(flow));
    qsort(sorted.elts, sorted.nelts, sizeof(flow), cmp_flows);

    shim_log_reset();

    rc = ngx_mc_def_check_flows(cf, &sorted);

    is_c(shim_logged, logged, "%s", name);

    ok((rc == NGX_CONF_OK) == (strstr(logged, "[emerg]") == NULL),
       "%s: the result", name);

    if (groups == NULL) {
        ngx_destroy_pool(p.pool);
        return;
    }

    buf[0] = '\0';
    f = array.elts;

    for (i = 0; i < array.nelts; i++) {
        sprintf(buf + strlen(buf), "%s%.*s", i ? " " : "",
                (int) f[i]->group.len, f[i]->group.data);
    }

    is_c(buf, groups, "%s: groups", name);

    ngx_destroy_pool(p.pool);
}


static void
test_flows(void)
{
    ngx_uint_t  i;

    for (i = 0; flows[i].name; i++) {
        run_flows(flows[i].name, flows[i].conf, flows[i].logged,
                  flows[i].groups);
    }
}


static void
test_privileged(void)
{
    FILE                            *f;
    int                              start;
    char                             message[512];
    struct __user_cap_data_struct    data[2];
    struct __user_cap_header_struct  header;
    static const char                conf[] =
        "flow a\nin srt://:443\nout x srt://h:443\nout y srt://h:1 port=80\n"
        "out z srt://:1024 allow=::1\n";

    start = 1024;

    f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
    if (f) {
        if (fscanf(f, "%d", &start) != 1) {
            start = 1024;
        }

        fclose(f);
    }

    message[0] = '\0';

    if (start > 80) {
        sprintf(message, "[emerg] workers run without the right to bind UDP "
                "port 80, use a port from %d up, or lower the sysctl "
                "net.ipv4.ip_unprivileged_port_start in nginx.conf:4\n",
                start);
    }

    if (start > 443) {
        sprintf(message + strlen(message), "[emerg] workers run without the "
                "right to bind UDP port 443, use a port from %d up, or lower "
                "the sysctl net.ipv4.ip_unprivileged_port_start in "
                "nginx.conf:2\n", start);
    }

    shim_core_conf.master = NGX_CONF_UNSET;
    shim_core_conf.user = (ngx_uid_t) NGX_CONF_UNSET_UINT;
    test_uid = 0;
    run_flows("ports of the default user", conf, message, NULL);

    shim_core_conf.user = 33;
    run_flows("ports of a user", conf, message, NULL);

    shim_core_conf.user = 0;
    run_flows("ports of root", conf, "", NULL);

    shim_core_conf.user = 33;
    shim_core_conf.master = 0;
    run_flows("ports without a master", conf, "", NULL);

    /* an ordinary user, without the capability */

    ngx_memzero(&header, sizeof(header));
    ngx_memzero(data, sizeof(data));
    header.version = _LINUX_CAPABILITY_VERSION_3;

    if (syscall(SYS_capget, &header, data) == 0) {
        data[0].effective &= ~(1u << CAP_NET_BIND_SERVICE);
        ok(syscall(SYS_capset, &header, data) == 0, "a capability dropped");
    }

    test_uid = 1000;
    run_flows("ports of an ordinary user", conf, message, NULL);
}


static void
test_no_memory(void)
{
    unsigned                n, failed;
    ngx_str_t               text;
    ngx_array_t             array;
    ngx_mc_parse_t          p;
    ngx_mc_flow_def_t       flow, copy, *f;
    ngx_mc_endpoint_def_t  *def;

    /* every allocation fails once: an error each time, and nothing worse */

    failed = 0;

    for (n = 1; n < 200; n++) {

        ngx_memzero(&p, sizeof(p));
        p.pool = ngx_create_pool(4096, &shim_log);
        p.cf = shim_conf(p.pool, "nginx.conf", 1);

        init_flow(p.pool, &flow, "a", 1);
        def = ngx_array_push(&flow.sources);

        f = &flow;
        (void) ngx_array_init(&array, p.pool, 1, sizeof(f));
        *(ngx_mc_flow_def_t **) ngx_array_push(&array) = f;

        /* the copy of the words comes first and cannot fail */
        shim_fail_alloc(n + 1);

        if (parse_words(&p, def, IN, "srt://[::1]:9000?mode=listener&streamid="
                        "%41%42&allow=1.2.3.4,1.2.3.5,1.2.3.6,1.2.3.7,1.2.3.8")
            != NGX_OK
            || ngx_mc_def_check_flows(p.cf, &array) != NGX_CONF_OK
            || ngx_mc_def_write(&p, &flow) != NGX_OK
            || (text = flow.text, ngx_mc_def_read(&p, &copy, &text)) != NGX_OK)
        {
            failed++;
        }

        shim_fail_alloc(0);
        ngx_destroy_pool(p.pool);
    }

    ok(failed > 10, "%u allocations failed", failed);
}


int
main(void)
{
    test_values();
    test_mistakes();
    test_warnings();
    test_secret_files();
    test_lines();
    test_flow_text();
    test_bad_text();
    test_flows();
    test_no_memory();
    test_privileged();

    return shim_done();
}
