#include <ngx_mc_rtmp.h>
#define W __attribute__((weak))
W ngx_int_t ngx_mc_rtmp_client_init(ngx_mc_endpoint_t *ep) { return NGX_ERROR; }
W void ngx_mc_rtmp_client_open(ngx_mc_endpoint_t *ep) {}
W void ngx_mc_rtmp_client_close(ngx_mc_endpoint_t *ep) {}
W void ngx_mc_rtmp_client_frame(ngx_mc_endpoint_t *ep, ngx_mc_frame_t *f) {}
W void ngx_mc_rtmp_client_second(ngx_mc_endpoint_t *ep) {}
W void ngx_mc_rtmp_client_update(ngx_mc_endpoint_t *ep, ngx_mc_endpoint_def_t *def, ngx_uint_t c) { ep->def = def; }
W ngx_int_t ngx_mc_rtmp_output_init(ngx_mc_endpoint_t *ep) { ep->data = ep; return NGX_OK; }
W void ngx_mc_rtmp_output_open(ngx_mc_endpoint_t *ep) { ngx_mc_endpoint_waiting(ep); }
W void ngx_mc_rtmp_output_close(ngx_mc_endpoint_t *ep) {}
W void ngx_mc_rtmp_output_frame(ngx_mc_endpoint_t *ep, ngx_mc_frame_t *f) {}
W void ngx_mc_rtmp_output_second(ngx_mc_endpoint_t *ep) {}
W void ngx_mc_rtmp_output_update(ngx_mc_endpoint_t *ep, ngx_mc_endpoint_def_t *def, ngx_uint_t c) { ep->def = def; }
W ngx_int_t ngx_mc_rtmp_output_attach(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *l) { return NGX_OK; }
W void ngx_mc_rtmp_output_peer_up(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *l, uint64_t id, u_char *a) {}
W void ngx_mc_rtmp_output_peer_stat(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *l, uint64_t id, uint64_t b, uint64_t m, uint64_t d) {}
W void ngx_mc_rtmp_output_peer_down(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *l, uint64_t id, const char *why) {}
W void ngx_mc_rtmp_output_detach(ngx_mc_endpoint_t *ep, ngx_mc_rtmp_link_t *l) {}
W ngx_int_t ngx_mc_rtmp_play_hook(ngx_rtmp_session_t *s, ngx_rtmp_play_t *v, ngx_rtmp_play_pt next) { return NGX_DECLINED; }
W void ngx_mc_rtmp_play_gone(ngx_rtmp_session_t *s) {}
W ngx_int_t ngx_mc_rtmp_play_conf(ngx_conf_t *cf) { return NGX_OK; }
W ngx_int_t ngx_mc_rtmp_play_process(ngx_cycle_t *cycle) { return NGX_OK; }
W void ngx_mc_rtmp_play_exit(ngx_cycle_t *cycle) {}
