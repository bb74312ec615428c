### Kết quả của một lệnh vận hành.

done-alive = đang hoạt động
done-ready = sẵn sàng
done-register_stands = sổ đăng ký phiên bản { $version } có hiệu lực
done-site_founded = điểm kho { $site } đã được thành lập với { $nodes } nút
done-site_founded_unasked = điểm kho { $site } đã được thành lập với { $nodes } nút; kho cấp trên { $parent } không trả lời, nên chưa biết điểm kho đã từng được thành lập hay chưa: hãy xem `kho status` khi đường truyền hoạt động trở lại
done-node_added = nút { $node } đã là nút biểu quyết của điểm kho { $site }
done-node_removed =
    nút { $node } đã được đưa ra khỏi điểm kho { $site }; số hiệu của nút không bao giờ dùng lại.
    Còn phải thu hồi, trừ khi đĩa của nút đã bị hủy: chứng thư số và khóa ký của nút.
    kho register revoke register.toml { $revoking }
    Giữ nguyên phần của nút trong sổ đăng ký: các mốc ký mà nút đã ký còn giá trị nhờ phần đó.
done-node_confirmed = nút này coi nút { $node } là thành viên của điểm kho { $site } cho đến khi biết danh sách thành viên
done-time_confirmed = theo đồng hồ của nút này, bây giờ là { $time }; điểm kho ghi thời gian theo đó
done-level_raised = từ nay điểm kho { $site } làm việc ở mức phiên bản { $level } và không bao giờ thấp hơn nữa
done-level_could_rise = chưa thay đổi gì; mọi nút của điểm kho { $site } đều hỗ trợ mức phiên bản { $level }. Khi đã nâng thì không bao giờ hạ được, và bản Kho cũ không khởi động được nút nào của điểm kho nữa
done-test_noted = đã lưu ghi chú thử nghiệm
done-origin_resumed = nguồn { $origin } được tiếp nhận trở lại
done-transfer_abandoned = đã bỏ việc truyền toàn bộ nguồn { $origin }
