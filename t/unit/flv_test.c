/* sources: codec/ngx_mc_flv.c codec/ngx_mc_flv_metadata.c */

/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_mc_flv.h>

#include "shim.h"


#define DTS  ((int64_t) 90 * 1000)


typedef struct {
    const char  *hex;
    unsigned     type;
    ngx_int_t    rc;
    unsigned     codec, header, key, config, end;
    int          composition;        /* ms */
} tag_t;


static tag_t  tags[] = {

    /* H.264 */
    { "17000000000142c01e", 9, NGX_OK, NGX_MC_CODEC_H264, 5, 0, 1, 0, 0 },
    { "170100000000000001" "65", 9, NGX_OK, NGX_MC_CODEC_H264, 5, 1, 0, 0,
      0 },
    { "2701000050" "0000000141", 9, NGX_OK, NGX_MC_CODEC_H264, 5, 0, 0, 0,
      80 },
    { "2701ffffd8" "0000000141", 9, NGX_OK, NGX_MC_CODEC_H264, 5, 0, 0, 0,
      -40 },
    { "27017fffff" "00", 9, NGX_OK, NGX_MC_CODEC_H264, 5, 0, 0, 0, 8388607 },
    { "2701800000" "00", 9, NGX_OK, NGX_MC_CODEC_H264, 5, 0, 0, 0, -8388608 },
    { "3701000000" "00", 9, NGX_OK, NGX_MC_CODEC_H264, 5, 0, 0, 0, 0 },
    { "4701000000" "00", 9, NGX_OK, NGX_MC_CODEC_H264, 5, 1, 0, 0, 0 },
    { "1702000000", 9, NGX_OK, NGX_MC_CODEC_H264, 5, 0, 0, 1, 0 },
    { "1702", 9, NGX_OK, NGX_MC_CODEC_H264, 2, 0, 0, 1, 0 },
    { "1703000000" "00", 9, NGX_DECLINED, NGX_MC_CODEC_H264, 5, 0, 0, 0, 0 },
    { "5700", 9, NGX_DECLINED, NGX_MC_CODEC_H264, 0, 0, 0, 0, 0 },
    { "17", 9, NGX_ERROR, NGX_MC_CODEC_H264, 0, 0, 0, 0, 0 },
    { "1700000000", 9, NGX_ERROR, NGX_MC_CODEC_H264, 5, 0, 1, 0, 0 },
    { "17010000", 9, NGX_ERROR, NGX_MC_CODEC_H264, 4, 1, 0, 0, 0 },

    /* HEVC, old */
    { "1c0000000001", 9, NGX_OK, NGX_MC_CODEC_HEVC, 5, 0, 1, 0, 0 },
    { "2c0100002800", 9, NGX_OK, NGX_MC_CODEC_HEVC, 5, 0, 0, 0, 40 },

    /* Enhanced RTMP */
    { "90" "68766331" "01", 9, NGX_OK, NGX_MC_CODEC_HEVC, 5, 0, 1, 0, 0 },
    { "91" "68766331" "000028" "00", 9, NGX_OK, NGX_MC_CODEC_HEVC, 8, 1, 0,
      0, 40 },
    { "a1" "68766331" "ffffff" "00", 9, NGX_OK, NGX_MC_CODEC_HEVC, 8, 0, 0,
      0, -1 },
    { "a3" "68766331" "00", 9, NGX_OK, NGX_MC_CODEC_HEVC, 5, 0, 0, 0, 0 },
    { "93" "68766331" "00", 9, NGX_OK, NGX_MC_CODEC_HEVC, 5, 1, 0, 0, 0 },
    { "92" "68766331", 9, NGX_OK, NGX_MC_CODEC_HEVC, 5, 0, 0, 1, 0 },
    { "94" "68766331" "02", 9, NGX_DECLINED, NGX_MC_CODEC_HEVC, 5, 0, 0, 0,
      0 },
    { "91" "68766331" "0000", 9, NGX_ERROR, NGX_MC_CODEC_HEVC, 7, 1, 0, 0,
      0 },
    { "90" "68766331", 9, NGX_ERROR, NGX_MC_CODEC_HEVC, 5, 0, 1, 0, 0 },
    { "90" "687663", 9, NGX_ERROR, NGX_MC_CODEC_NONE, 0, 0, 0, 0, 0 },
    { "90" "61763031" "81", 9, NGX_DECLINED, NGX_MC_CODEC_AV1, 0, 0, 0, 0,
      0 },
    { "93" "76703039" "81", 9, NGX_DECLINED, NGX_MC_CODEC_VP9, 0, 0, 0, 0,
      0 },
    { "93" "78787878" "81", 9, NGX_DECLINED, NGX_MC_CODEC_NONE, 0, 0, 0, 0,
      0 },
    { "d000", 9, NGX_DECLINED, NGX_MC_CODEC_NONE, 0, 0, 0, 0, 0 },

    /* other video */
    { "1200", 9, NGX_DECLINED, NGX_MC_CODEC_FLV1, 0, 0, 0, 0, 0 },
    { "1400", 9, NGX_DECLINED, NGX_MC_CODEC_VP6, 0, 0, 0, 0, 0 },
    { "1300", 9, NGX_DECLINED, NGX_MC_CODEC_NONE, 0, 0, 0, 0, 0 },
    { "", 9, NGX_DECLINED, NGX_MC_CODEC_NONE, 0, 0, 0, 0, 0 },

    /* audio */
    { "af001190", 8, NGX_OK, NGX_MC_CODEC_AAC, 2, 0, 1, 0, 0 },
    { "af0121", 8, NGX_OK, NGX_MC_CODEC_AAC, 2, 0, 0, 0, 0 },
    { "af01", 8, NGX_DECLINED, NGX_MC_CODEC_AAC, 2, 0, 0, 0, 0 },
    { "af00", 8, NGX_DECLINED, NGX_MC_CODEC_AAC, 2, 0, 1, 0, 0 },
    { "af02", 8, NGX_DECLINED, NGX_MC_CODEC_AAC, 2, 0, 0, 0, 0 },
    { "af", 8, NGX_ERROR, NGX_MC_CODEC_AAC, 0, 0, 0, 0, 0 },
    { "2ffffb9064", 8, NGX_OK, NGX_MC_CODEC_MP3, 1, 0, 0, 0, 0 },
    { "eeffe328c4", 8, NGX_OK, NGX_MC_CODEC_MP3, 1, 0, 0, 0, 0 },
    { "2f", 8, NGX_DECLINED, NGX_MC_CODEC_MP3, 1, 0, 0, 0, 0 },
    { "b200", 8, NGX_DECLINED, NGX_MC_CODEC_SPEEX, 0, 0, 0, 0, 0 },
    { "7200", 8, NGX_DECLINED, NGX_MC_CODEC_PCM, 0, 0, 0, 0, 0 },
    { "5200", 8, NGX_DECLINED, NGX_MC_CODEC_NONE, 0, 0, 0, 0, 0 },
    { "", 8, NGX_DECLINED, NGX_MC_CODEC_NONE, 0, 0, 0, 0, 0 },

    /* data */
    { "02000a6f6e4d65746144617461" "0800000000" "000009", 18, NGX_OK,
      NGX_MC_CODEC_NONE, 0, 0, 0, 0, 0 },
    { "02000d40736574446174614672616d65" "02000a6f6e4d65746144617461" "03"
      "000009", 18, NGX_OK, NGX_MC_CODEC_NONE, 16, 0, 0, 0, 0 },
    { "02000a6f6e54657874446174" "61", 18, NGX_DECLINED, NGX_MC_CODEC_NONE,
      0, 0, 0, 0, 0 },
    { "02000a6f6e4d657461446174", 18, NGX_DECLINED, NGX_MC_CODEC_NONE, 0, 0,
      0, 0, 0 },
    { "02000d40736574446174614672616d65", 18, NGX_DECLINED,
      NGX_MC_CODEC_NONE, 0, 0, 0, 0, 0 },
    { "00", 20, NGX_DECLINED, NGX_MC_CODEC_NONE, 0, 0, 0, 0, 0 },

    { NULL, 0, 0, 0, 0, 0, 0, 0, 0 }
};


static u_char *
hex(const char *s, size_t *len)
{
    size_t     i;
    u_char    *p;
    unsigned   n;

    *len = strlen(s) / 2;
    p = malloc(*len ? *len : 1);

    for (i = 0; i < *len; i++) {
        sscanf(s + 2 * i, "%2x", &n);
        p[i] = n;
    }

    return p;
}


static const char *
text(u_char *p, size_t len)
{
    size_t       i;
    static char  buf[4096];

    buf[0] = '\0';

    for (i = 0; i < len; i++) {
        sprintf(buf + 2 * i, "%02x", p[i]);
    }

    return buf;
}


static void
test_parse(void)
{
    size_t           len;
    tag_t           *t;
    u_char          *p;
    ngx_mc_frame_t   f;

    for (t = tags; t->hex; t++) {
        p = hex(t->hex, &len);

        memset(&f, 0xff, sizeof(f));
        f.origin = 77;

        is_num(ngx_mc_flv_parse(&f, t->type, DTS, p, len), t->rc,
               "%u %s", t->type, t->hex);
        is_num(f.type, t->type, "%s: type", t->hex);
        is_num(f.codec, t->codec, "%s: codec", t->hex);
        is_num(f.header, t->header, "%s: header", t->hex);
        is_num(f.key, t->key, "%s: key", t->hex);
        is_num(f.config, t->config, "%s: config", t->hex);
        is_num(f.end, t->end, "%s: end", t->hex);
        is_num(f.len, len, "%s: length", t->hex);
        is_num(f.dts, DTS, "%s: dts", t->hex);
        is_num((f.pts - f.dts) / 90, t->composition, "%s: pts", t->hex);
        is_num(f.origin, 77, "%s: origin is left", t->hex);
        is_num(f.discontinuity, 1, "%s: discontinuity as well", t->hex);

        free(p);
    }

    memset(&f, 0, sizeof(f));
    is_num(ngx_mc_flv_parse(&f, 9, DTS, (u_char *) "", NGX_MC_FRAME_MAX + 1),
           NGX_ERROR, "larger than any message");
}


typedef struct {
    const char  *hex;
    unsigned     type, codec, key, config, end;
    int64_t      dts, pts;
    unsigned     rate, channels;
} write_t;

static write_t  writes[] = {
    { "1700000000" "dd", 9, NGX_MC_CODEC_H264, 0, 1, 0, 0, 900, 0, 0 },
    { "1701000000" "dd", 9, NGX_MC_CODEC_H264, 1, 0, 0, 900, 900, 0, 0 },
    { "2701000028" "dd", 9, NGX_MC_CODEC_H264, 0, 0, 0, 900, 4500, 0, 0 },
    { "2701ffffff" "dd", 9, NGX_MC_CODEC_H264, 0, 0, 0, 900, 899, 0, 0 },
    { "2701000001" "dd", 9, NGX_MC_CODEC_H264, 0, 0, 0, 89, 90, 0, 0 },
    { "2701000001" "dd", 9, NGX_MC_CODEC_H264, 0, 0, 0, -1, 0, 0, 0 },
    { "27017fffff" "dd", 9, NGX_MC_CODEC_H264, 0, 0, 0, 0,
      (int64_t) 1 << 40, 0, 0 },
    { "2701800000" "dd", 9, NGX_MC_CODEC_H264, 0, 0, 0, 0,
      - ((int64_t) 1 << 40), 0, 0 },
    { "1702000000" "dd", 9, NGX_MC_CODEC_H264, 0, 0, 1, 0, 90, 0, 0 },
    { "9068766331" "dd", 9, NGX_MC_CODEC_HEVC, 0, 1, 0, 0, 900, 0, 0 },
    { "9368766331" "dd", 9, NGX_MC_CODEC_HEVC, 1, 0, 0, 900, 900, 0, 0 },
    { "a368766331" "dd", 9, NGX_MC_CODEC_HEVC, 0, 0, 0, 900, 901, 0, 0 },
    { "a168766331000028" "dd", 9, NGX_MC_CODEC_HEVC, 0, 0, 0, 900, 4500, 0,
      0 },
    { "9168766331ffffd8" "dd", 9, NGX_MC_CODEC_HEVC, 1, 0, 0, 4500, 900, 0,
      0 },
    { "9268766331" "dd", 9, NGX_MC_CODEC_HEVC, 0, 0, 1, 900, 4500, 0, 0 },
    { "af00" "dd", 8, NGX_MC_CODEC_AAC, 0, 1, 0, 0, 0, 48000, 1 },
    { "af01" "dd", 8, NGX_MC_CODEC_AAC, 0, 0, 0, 0, 0, 48000, 1 },
    { "2f" "dd", 8, NGX_MC_CODEC_MP3, 0, 0, 0, 0, 0, 44100, 2 },
    { "2f" "dd", 8, NGX_MC_CODEC_MP3, 0, 0, 0, 0, 0, 0, 0 },
    { "2e" "dd", 8, NGX_MC_CODEC_MP3, 0, 0, 0, 0, 0, 48000, 1 },
    { "2a" "dd", 8, NGX_MC_CODEC_MP3, 0, 0, 0, 0, 0, 22050, 1 },
    { "27" "dd", 8, NGX_MC_CODEC_MP3, 0, 0, 0, 0, 0, 11025, 2 },
    { "e3" "dd", 8, NGX_MC_CODEC_MP3, 0, 0, 0, 0, 0, 8000, 2 },
    { "dd", 18, NGX_MC_CODEC_NONE, 0, 0, 0, 0, 0, 0, 0 },
    { NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
};


static void
test_write(void)
{
    u_char                buf[NGX_MC_FLV_HEADER + 1];
    write_t              *w;
    ngx_mc_frame_t        f, back;
    ngx_mc_track_info_t   info;

    for (w = writes; w->hex; w++) {
        memset(&f, 0, sizeof(f));
        memset(&info, 0, sizeof(info));
        memset(buf, 0xee, sizeof(buf));

        f.type = w->type;
        f.codec = w->codec;
        f.key = w->key;
        f.config = w->config;
        f.end = w->end;
        f.dts = w->dts;
        f.pts = w->pts;
        info.sample_rate = w->rate;
        info.channels = w->channels;
        buf[NGX_MC_FLV_HEADER] = 0xdd;

        ngx_mc_flv_write(&f, buf + NGX_MC_FLV_HEADER, 1, &info);

        is_c(text(f.tag, f.len), w->hex, "written %s", w->hex);
        ok(f.tag + f.header == buf + NGX_MC_FLV_HEADER, "payload stays");
        is_num(f.len, f.header + 1, "length");
        ok(f.tag == buf || f.tag[-1] == 0xee, "nothing before it");

        if (w->type == 18) {
            continue;
        }

        is_num(ngx_mc_flv_parse(&back, f.type, f.dts, f.tag, f.len), NGX_OK,
               "read back");
        is_num(back.codec, f.codec, "codec");
        is_num(back.header, f.header, "header");
        is_num(back.key, f.key, "key");
        is_num(back.config, f.config, "config");
        is_num(back.end, f.end, "end");
    }

    memset(&f, 0, sizeof(f));
    f.type = 8;
    f.codec = NGX_MC_CODEC_MP3;
    ngx_mc_flv_write(&f, buf + NGX_MC_FLV_HEADER, 1, NULL);
    is_c(text(f.tag, f.len), "2fdd", "MP3 of which nothing is known");
}


static void
read_hex(const char *s, ngx_mc_rtmp_metadata_t *md)
{
    size_t   len;
    u_char  *p;

    p = hex(s, &len);
    memset(md, 0xff, sizeof(ngx_mc_rtmp_metadata_t));
    ngx_mc_flv_metadata_read(p, len, md);
    free(p);
}


/* of libavformat, "filesize" and "duration" among what is of interest */

static const char  lavf[] =
    "02000a6f6e4d65746144617461080000000800086475726174696f6e003fd47ae147ae14"
    "7b000577696474680040840000000000000006686569676874004076800000000000000d"
    "766964656f646174617261746500000000000000000000096672616d6572617465004039"
    "000000000000000c766964656f636f646563696400401c0000000000000007656e636f64"
    "657202000d4c61766635392e32372e313030000866696c6573697a650040f226b0000000"
    "00000009";

#define SET    "02000d40736574446174614672616d65"
#define META   "02000a6f6e4d65746144617461"
#define WIDTH  "00057769647468" "004094000000000000"     /* 1280 */
#define X      "000178"
#define HEIGHT "0006686569676874" "004086800000000000"   /* 720 */

static const char  *nested[] = {
    SET META "0800000003" WIDTH X "03" X "0000000000000000" "00" "000009"
        HEIGHT "000009",
    SET META "03" WIDTH X "0a00000002" "0100" "0200" "0161" HEIGHT "000009",
    META "03" WIDTH X "0a00000002" "05" "03" X "06" "000009" HEIGHT "000009",
    META "03" WIDTH X "0b0000000000000000" "0000" HEIGHT "000009",
    META "03" WIDTH X "0c00000003616263" HEIGHT "000009",
    META "03" WIDTH X "0f00000000" HEIGHT "000009",
    META "03" WIDTH X "100001" "79" X "0101" "000009" HEIGHT "000009",
    META "03" WIDTH X "070001" X "0d" HEIGHT "000009",
    META "08ffffffff" WIDTH HEIGHT,                       /* no end */
    NULL
};

static const char  *broken[] = {
    "",
    "02",
    "0200",
    META,
    META "05",
    META "08000000",
    META "03",
    META "030000",
    META "03" "000009",
    META "03" "ffff7769647468",
    META "03" "00057769647468",
    META "03" "00057769647468" "0040940000000000",
    META "03" X "0affffffff" WIDTH,
    META "03" X "0cffffffff" WIDTH,
    META "03" X "11" WIDTH,                               /* AMF3 */
    META "03" "00057769647468" "007ff8000000000000" "000009",      /* NaN */
    META "03" "00057769647468" "00fff0000000000000" "000009",      /* -inf */
    META "03" "00057769647468" "007ff0000000000000" "000009",
    META "03" "00057769647468" "00c094000000000000" "000009",      /* -1280 */
    META "03" "00057769647468" "020000" "000009",
    NULL
};


static void
test_metadata(void)
{
    char                     deep[8192];
    size_t                   n, i, bad;
    u_char                  *buf;
    unsigned                 k;
    ngx_str_t                encoder;
    ngx_mc_track_info_t      video, audio;
    ngx_mc_rtmp_metadata_t   md, zero;

    memset(&zero, 0, sizeof(zero));

    read_hex(lavf, &md);
    ok(md.width == 640 && md.height == 360, "size");
    ok(md.frame_rate == 25, "frame rate");
    ok(md.video_rate == 0, "no rate");
    is_c(md.encoder, "Lavf59.27.100", "encoder");

    for (k = 0; nested[k]; k++) {
        read_hex(nested[k], &md);
        ok(md.width == 1280, "nested %u: before", k);
        ok(md.height == 720, "nested %u: behind", k);
    }

    for (k = 0; broken[k]; k++) {
        read_hex(broken[k], &md);
        ok(memcmp(&md, &zero, sizeof(md)) == 0, "broken %u", k);
    }

    /* deeper than anything that is meant well */

    strcpy(deep, META "03" WIDTH);

    for (k = 0; k < 500; k++) {
        strcat(deep, X "03");
    }

    read_hex(deep, &md);
    ok(md.width == 1280, "what is before too many objects");

    read_hex(META "03" "0006737465726" "56f" "0101" "000009", &md);
    ok(md.channels == 2, "stereo");
    read_hex(META "03" "000d617564696f6368616e6e656c73" "003ff0000000000000"
             "0006737465726" "56f" "0101" "000009", &md);
    ok(md.channels == 1, "channels tell more");

    /* 63 bytes of 2-byte characters, then control characters */

    strcpy(deep, META "03" "0007656e636f646572" "020080");

    for (k = 0; k < 64; k++) {
        strcat(deep, "c3a9");
    }

    read_hex(deep, &md);
    is_num(strlen((char *) md.encoder), (NGX_MC_ENCODER_LEN - 1) & ~1,
           "no half character");

    read_hex(META "03" "0007656e636f646572" "020004" "610a007f" "000009", &md);
    is_c(md.encoder, "a???", "control characters");

    /* what is written is read */

    memset(&video, 0, sizeof(video));
    video.codec = NGX_MC_CODEC_H264;
    video.width = 1920;
    video.height = 1080;
    video.frame_num = 30000;
    video.frame_den = 1001;
    video.bitrate = 4500000;

    memset(&audio, 0, sizeof(audio));
    audio.codec = NGX_MC_CODEC_AAC;
    audio.sample_rate = 48000;
    audio.channels = 2;
    audio.bitrate = 128000;

    ngx_str_set(&encoder, "ngx_mc");

    buf = malloc(1024);
    n = ngx_mc_flv_metadata(buf, 1024, &video, &audio, &encoder);
    ok(n, "metadata");

    ngx_mc_flv_metadata_read(buf, n, &md);
    ok(md.width == 1920 && md.height == 1080, "size");
    ok(md.frame_rate > 29.969 && md.frame_rate < 29.971, "frame rate");
    ok(md.video_rate == 4500, "video rate");
    ok(md.audio_rate == 128, "audio rate");
    ok(md.sample_rate == 48000, "sample rate");
    ok(md.channels == 2, "channels");
    is_c(md.encoder, "ngx_mc", "encoder");
    is_num(buf[17], 11, "properties");
    free(buf);

    bad = 0;

    for (i = 0; i < n; i++) {
        buf = malloc(i ? i : 1);
        bad += ngx_mc_flv_metadata(buf, i, &video, &audio, &encoder) != 0;
        free(buf);
    }

    is_num(bad, 0, "does not fit");

    buf = malloc(n);
    is_num(ngx_mc_flv_metadata(buf, n, &video, &audio, &encoder), n,
           "just fits");

    n = ngx_mc_flv_metadata(buf, n, NULL, NULL, NULL);
    is_c(text(buf, n), META "0800000000" "000009", "nothing known");

    memset(&video, 0, sizeof(video));
    video.codec = NGX_MC_CODEC_HEVC;
    n = ngx_mc_flv_metadata(buf, 200, &video, NULL, NULL);
    is_c(text(buf, n), META "0800000001"
         "000c766964656f636f6465636964" "0041da1d98cc400000" "000009",
         "HEVC is a FourCC");
    free(buf);
}


int
main(void)
{
    test_parse();
    test_write();
    test_metadata();

    return shim_done();
}
