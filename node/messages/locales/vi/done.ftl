### Kết quả của một lệnh vận hành.

done-alive = đang hoạt động
done-ready = sẵn sàng
done-register_stands = sổ đăng ký phiên bản { $version } có hiệu lực
done-site_founded = điểm kho { $site } đã được thành lập với { $nodes } nút
done-node_added = nút { $node } đã là nút biểu quyết của điểm kho { $site }
done-node_removed = nút { $node } đã được đưa ra khỏi điểm kho { $site }
done-time_confirmed = theo đồng hồ của nút này, bây giờ là { $time }; điểm kho ghi thời gian theo đó
done-origin_resumed = nguồn { $origin } được tiếp nhận trở lại
done-transfer_abandoned = đã bỏ việc truyền toàn bộ nguồn { $origin }
